// The variable `loop`, and the items that a loop goes over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace mquant::jinja {

/// Takes items one by one, as Jinja's LoopContext does: an iterator that is left early keeps the rest, and a condition
/// is tested when its item's turn comes.
class Loop {
 public:
  using Passes = std::function<bool(const Value& item)>;

  /// @param passes  the loop's condition; null: none
  /// Throws Error{input} for what Python does not iterate.
  Loop(const Value& iterable, Passes passes, Budget& budget);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Advances to the next item, if there is one.
  bool advance();
  const Value& current() const { return *current_; }
  /// Lets the items go, but for the next one.  Where there is a condition, nothing passes any more: its variables are
  /// gone.
  void end();

  /// index, first, last, ...; the methods cycle and changed are bound to this loop.
  std::optional<Value> attribute(const std::string& name);
  Value call(const std::string& method, const Arguments& arguments);

 private:
  std::optional<Value> take();
  const std::optional<Value>& peek();
  std::int64_t length();

  std::vector<Value> items_;
  std::shared_ptr<Sequence> iterator_;  ///< instead of items_
  std::size_t at_ = 0;
  Passes passes_;
  std::int64_t index_ = -1;
  std::optional<std::int64_t> length_;  ///< once it is known
  std::optional<Value> before_, current_, after_;
  std::vector<Value> changed_;
  bool asked_changed_ = false;
};

}  // namespace mquant::jinja
