#include "text/jinja/globals.h"

#include "mquant/error.h"

namespace mquant::jinja {

Value make_range(const Arguments& given) {
  constexpr std::int64_t kLongestRange = 100'000;  // the sandbox's MAX_RANGE
  const Bound bound("range", given, {"start", "stop", "step"});
  const bool only_stop = !bound.find(1);
  const std::int64_t first = bound.integer_or(0, 0), step = bound.integer_or(2, 1);
  const std::int64_t begin = only_stop ? 0 : first, end = only_stop ? first : bound.integer_or(1, 0);
  if (!given.named.empty()) fail(ErrorKind::input, "range() takes no arguments by name");
  if (given.positional.empty()) fail(ErrorKind::input, "range(): expected 1 to 3 arguments, found none");
  if (step == 0) fail(ErrorKind::input, "range(): the step must not be zero");
  std::vector<Value> items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (std::ssize(items) == kLongestRange)
      fail(ErrorKind::input, "range() of more than ", kLongestRange, " items");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  Value range = Value::sequence(std::move(items), Sequence::Form::range);
  range.list()->start = begin, range.list()->stop = end, range.list()->step = step;
  return range;
}

std::size_t steps_of_dict(std::size_t items) { return items * items / kComparisonsAStep; }

Value make_dict(const Arguments& given, Budget& budget) {
  if (given.positional.size() > 1 || (given.positional.size() == 1 && !given.positional[0].dict()))
    fail(ErrorKind::unsupported, "dict() of anything but a dict and names is not supported");
  Pairs pairs = given.positional.empty() ? Pairs() : given.positional[0].dict()->items;
  for (const auto& [key, value] : given.named) pairs.emplace_back(Value(key), value);
  budget.spend(steps_of_dict(pairs.size()));
  return Value::dict(std::move(pairs));
}

}  // namespace mquant::jinja
