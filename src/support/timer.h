// A stopwatch, and the time of day.
#pragma once

#include <array>
#include <chrono>
#include <ctime>
#include <string>

namespace mquant {

class Stopwatch {
 public:
  std::chrono::duration<double> elapsed() const { return std::chrono::steady_clock::now() - start_; }
  double seconds() const { return elapsed().count(); }
  void restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Local, by a format of strftime of at most 63 characters.
inline std::string time_of_day(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), format, &local);
  return text.data();
}

}  // namespace mquant
