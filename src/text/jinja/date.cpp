#include "text/jinja/date.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant::jinja {
namespace {

/// The digits of text[begin, end) as a number.
unsigned number(std::string_view text, std::size_t begin, std::size_t end) {
  unsigned value = 0;
  std::from_chars(text.data() + begin, text.data() + end, value);
  return value;
}

/// Midnight of the day.
std::tm time_of(const Date& date) {
  const std::chrono::sys_days day(date);
  std::tm time{};
  time.tm_year = static_cast<int>(date.year()) - 1900;
  time.tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  time.tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  time.tm_wday = static_cast<int>(std::chrono::weekday(day).c_encoding());
  time.tm_yday = static_cast<int>((day - std::chrono::sys_days(date.year() / 1 / 1)).count());
  return time;
}

}  // namespace

std::optional<Date> parse_date(std::string_view text) {
  const std::string_view form = "1000-00-00";
  const bool has_form = std::ranges::equal(text, form, [](char c, char expected) {
    return expected == '-' ? c == '-' : c >= expected && c <= '9';
  });
  if (has_form)
    if (const Date date(std::chrono::year(static_cast<int>(number(text, 0, 4))),
                        std::chrono::month(number(text, 5, 7)), std::chrono::day(number(text, 8, 10)));
        date.ok())
      return date;
  return std::nullopt;
}

std::string date_text(const std::string& format, const std::optional<Date>& today) {
  constexpr std::string_view kOfDays = "aAbBdeDFgGhjmuUVwWyY%";
  if (!today)
    fail(ErrorKind::unsupported,
         "the template prints today's date, so that its prompts would differ from day to day; state one: "
         "--template-date YYYY-MM-DD");
  const std::tm time = time_of(*today);
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string conversion = "%";
    if (format.compare(i + 1, 1, "-") == 0) conversion += format[++i];  // without zeros in front
    if (i + 1 < format.size()) conversion += format[++i];
    if (conversion.size() < 2 || kOfDays.find(conversion.back()) == kOfDays.npos)
      fail(ErrorKind::unsupported, "'", printable(conversion), "' of strftime_now is not supported");
    std::array<char, 32> text{};
    out.append(text.data(), std::strftime(text.data(), text.size(), conversion.c_str(), &time));
  }
  return out;
}

}  // namespace mquant::jinja
