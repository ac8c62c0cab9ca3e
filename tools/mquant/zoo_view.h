// What a running zoo looks like: a table that is redrawn on a terminal, lines elsewhere, JSON on
// request.
#pragma once

#include <chrono>

#include "mquant/zoo.h"
#include "support/console.h"

namespace mquant::cli {

class ZooScreen final : public ZooView {
 public:
  void changed(const ZooReport& report, const ZooJob& job, const ZooStage& stage) override;
  void advanced(const ZooReport& report) override;
  /// Takes the table away, for what comes after it.
  void end();

 private:
  bool is_due(std::chrono::steady_clock::duration every);

  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

}  // namespace mquant::cli
