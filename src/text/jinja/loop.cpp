#include "text/jinja/loop.h"

#include <algorithm>

#include "mquant/error.h"

namespace mquant::jinja {

Loop::Loop(const Value& iterable, Passes passes, Budget& budget) : passes_(std::move(passes)) {
  if (iterable.list() && iterable.list()->form == Sequence::Form::iterator)
    iterator_ = *iterable.get_if<Value::List>();
  else
    items_ = items_of(iterable, budget);
  if (!iterator_ && !passes_) length_ = std::ssize(items_);
}

void Loop::end() {
  if (passes_) {
    passes_ = nullptr;
    iterator_.reset();
    after_.reset();
  } else if (!iterator_) {
    peek();
  }
  items_ = {};
  at_ = 0;
}

std::optional<Value> Loop::take() {
  std::vector<Value>& items = iterator_ ? iterator_->items : items_;
  std::size_t& at = iterator_ ? iterator_->taken : at_;
  while (at < items.size()) {
    Value item = items[at++];
    if (!passes_ || passes_(item)) return item;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::peek() {
  if (!after_) after_ = take();
  return after_;
}

bool Loop::advance() {
  std::optional<Value> next = after_ ? std::move(after_) : take();
  after_.reset();
  if (!next) return false;
  before_ = std::move(current_);
  current_ = std::move(next);
  ++index_;
  return true;
}

/// Takes all items that are left, the first time, unless the loop goes over a whole list.
std::int64_t Loop::length() {
  if (length_) return *length_;
  std::vector<Value> rest;
  if (after_) rest.push_back(*after_);
  while (std::optional<Value> item = take()) rest.push_back(std::move(*item));
  after_.reset();
  iterator_.reset();
  passes_ = nullptr;
  items_ = std::move(rest);
  at_ = 0;
  length_ = index_ + 1 + std::ssize(items_);
  return *length_;
}

std::optional<Value> Loop::attribute(const std::string& name) {
  if (name == "index0") return Value(index_);
  if (name == "index") return Value(index_ + 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "last") return Value(!peek());
  if (name == "length") return Value(length());
  if (name == "revindex") return Value(length() - index_);
  if (name == "revindex0") return Value(length() - index_ - 1);
  if (name == "depth") return Value(std::int64_t{1});
  if (name == "depth0") return Value(std::int64_t{0});
  if (name == "previtem") return before_ ? *before_ : Value::undefined("there is no previous item");
  if (name == "nextitem") return peek() ? *peek() : Value::undefined("there is no next item");
  if (name == "cycle" || name == "changed") return Value::function(name, Value(Value::Data(this)));
  return std::nullopt;
}

Value Loop::call(const std::string& method, const Arguments& arguments) {
  const std::vector<Value>& values = arguments.positional;
  if (!arguments.named.empty()) fail(ErrorKind::input, "loop.", method, "() has no arguments by name");
  if (method == "cycle") {
    if (values.empty()) fail(ErrorKind::input, "no items for cycling given");
    return values[static_cast<std::size_t>(index_) % values.size()];
  }
  if (asked_changed_ && std::ranges::equal(changed_, values, equal)) return false;
  asked_changed_ = true;
  changed_ = values;
  return true;
}

}  // namespace mquant::jinja
