#include "io/state_dict_pickle.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

#include "io/dtype.h"
#include "io/json_text.h"
#include "io/safetensors_limits.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kDeepestStack = std::size_t{1}
                                      << 20;  // the pickler writes a dictionary in runs of 1000 items
constexpr int kDeepestTuple = 8;              // destroying a tuple recurs; a state_dict needs 2

// What can stand on the stack.  Everything large is shared, so that a memo that repeats it costs nothing.
struct Opaque {};  // None, True, False
enum class Function { rebuild_tensor, rebuild_parameter, ordered_dict };
struct StorageType {
  DType dtype;
};
struct Tuple;
struct Storage {
  std::string key;
  DType dtype;
  std::int64_t elements;
};
/// Other values than tensors are dropped, but remembered: a cycle of dictionaries cannot arise.
struct Dict {
  std::map<std::string, std::shared_ptr<const PickledTensor>> entries;  // nullptr: not a tensor
};
using TensorRef = std::shared_ptr<const PickledTensor>;
using TupleRef = std::shared_ptr<const Tuple>;
using DictRef = std::shared_ptr<Dict>;
using Text = std::shared_ptr<const std::string>;
using Value = std::variant<Opaque, std::int64_t, Text, Function, StorageType, TupleRef, DictRef,
                           std::shared_ptr<const Storage>, TensorRef>;
struct Tuple {
  std::vector<Value> items;
  int depth = 1;
};

constexpr std::array<std::pair<std::string_view, DType>, 10> kStorageTypes = {{
    {"torch.FloatStorage", DType::f32},
    {"torch.HalfStorage", DType::f16},
    {"torch.BFloat16Storage", DType::bf16},
    {"torch.DoubleStorage", DType::f64},
    {"torch.LongStorage", DType::i64},
    {"torch.IntStorage", DType::i32},
    {"torch.ShortStorage", DType::i16},
    {"torch.CharStorage", DType::i8},
    {"torch.ByteStorage", DType::u8},
    {"torch.BoolStorage", DType::boolean},
}};

constexpr std::array<std::pair<std::string_view, Function>, 3> kFunctions = {{
    {"torch._utils._rebuild_tensor_v2", Function::rebuild_tensor},
    {"torch._utils._rebuild_parameter", Function::rebuild_parameter},
    {"collections.OrderedDict", Function::ordered_dict},
}};

class Reader {
 public:
  Reader(std::span<const std::byte> pickle, const std::string& origin) : pickle_(pickle), origin_(origin) {}

  std::map<std::string, PickledTensor> read() {
    while (step()) {
      if (stack_.size() > kDeepestStack) broken("more than ", kDeepestStack, " values on the stack");
    }
    const Value root = pop();
    const auto* dict = std::get_if<DictRef>(&root);
    if (dict == nullptr) fail(ErrorKind::input, origin_, ": not a state_dict: the whole is no dictionary");
    std::map<std::string, PickledTensor> tensors;
    for (const auto& [name, tensor] : (*dict)->entries) {
      if (!tensor) {
        fail(ErrorKind::input, origin_, ": not a state_dict: '", printable(name),
             "' is not a tensor; save model.state_dict() alone");
      }
      tensors.emplace(name, *tensor);
    }
    return tensors;
  }

 private:
  template <class... Parts>
  [[noreturn]] void broken(const Parts&... parts) const {
    fail(ErrorKind::input, origin_, ": pickle, byte ", opcode_at_, ": ", parts...);
  }

  // Bytes.
  std::span<const std::byte> take(std::uint64_t count) {
    if (count > pickle_.size() - at_) broken("it ends too early");
    const auto taken = pickle_.subspan(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }

  std::uint64_t take_unsigned(std::size_t bytes) {
    const auto taken = take(bytes);
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(taken[i]);
    return value;
  }

  std::int64_t take_signed(std::size_t bytes) {
    if (bytes > 8) broken("an integer of ", bytes, " bytes");
    if (bytes == 0) return 0;
    const int unused = static_cast<int>(64 - 8 * bytes);
    return static_cast<std::int64_t>(take_unsigned(bytes) << unused) >> unused;
  }

  std::string_view take_text(std::uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  std::string_view take_line() {
    const std::string_view rest(reinterpret_cast<const char*>(pickle_.data()) + at_, pickle_.size() - at_);
    const auto end = rest.find('\n');
    if (end == rest.npos) broken("it ends too early");
    at_ += end + 1;
    return rest.substr(0, end);
  }

  // The stack.
  void push(Value value) { stack_.push_back(std::move(value)); }

  Value pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) broken("a value is missing on the stack");
    Value value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }

  std::vector<Value> pop_to_mark() {
    if (marks_.empty()) broken("a mark is missing on the stack");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Value> values(std::make_move_iterator(begin), std::make_move_iterator(stack_.end()));
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  const Value& top() const {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) broken("a value is missing on the stack");
    return stack_.back();
  }

  void push_tuple(std::vector<Value> items) {
    auto tuple = std::make_shared<Tuple>();
    for (const Value& item : items) {
      if (const auto* inner = std::get_if<TupleRef>(&item))
        tuple->depth = std::max(tuple->depth, (*inner)->depth + 1);
    }
    if (tuple->depth > kDeepestTuple) broken("tuples nested more than ", kDeepestTuple, " deep");
    tuple->items = std::move(items);
    push(TupleRef(std::move(tuple)));
  }

  void push_last(std::size_t count) {
    std::vector<Value> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_tuple(std::move(items));
  }

  void remember(std::uint64_t slot) { memo_[slot] = top(); }

  void recall(std::uint64_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) broken("no value was kept as number ", slot);
    push(found->second);
  }

  void set_items(const std::vector<Value>& items) {
    if (items.size() % 2 != 0) broken("a dictionary's key without a value");
    const auto* dict = std::get_if<DictRef>(&top());
    if (dict == nullptr) broken("items for what is no dictionary");
    for (std::size_t i = 0; i < items.size(); i += 2) {
      const auto* key = std::get_if<Text>(&items[i]);
      if (key == nullptr) broken("a dictionary's key is no string");
      if ((*key)->size() > kLongestTensorName) {
        broken("a name of ", (*key)->size(), " bytes; expected at most ", kLongestTensorName);
      }
      const auto* tensor = std::get_if<TensorRef>(&items[i + 1]);
      if (!(*dict)->entries.emplace(**key, tensor == nullptr ? nullptr : *tensor).second) {
        broken("'", printable(**key), "' is there twice");
      }
    }
  }

  // What the few known globals do.
  void push_global(const std::string& name) {
    for (const auto& [known, dtype] : kStorageTypes) {
      if (name == known) return push(StorageType{dtype});
    }
    for (const auto& [known, function] : kFunctions) {
      if (name == known) return push(function);
    }
    if (name.starts_with("torch.") && name.ends_with("Storage")) {
      fail(ErrorKind::unsupported, origin_, ": tensors in a ", printable(name),
           ", which is not computed with here; give a checkpoint in bfloat16, float16 or float32");
    }
    broken("it names '", printable(name),
           "', which no state_dict needs; nothing of a checkpoint is ever run");
  }

  void push_storage() {
    const Value id = pop();
    const auto* tuple = std::get_if<TupleRef>(&id);
    if (tuple == nullptr || (*tuple)->items.size() != 5) broken("a storage's id is no tuple of 5");
    const std::vector<Value>& items = (*tuple)->items;
    const auto* type = std::get_if<StorageType>(&items[1]);
    const auto *kind = std::get_if<Text>(&items[0]), *key = std::get_if<Text>(&items[2]);
    const auto* elements = std::get_if<std::int64_t>(&items[4]);
    if (kind == nullptr || **kind != "storage" || type == nullptr || key == nullptr || elements == nullptr ||
        !checked_bits({elements, 1}, 8 * byte_size(type->dtype))) {
      broken("a storage's id is not ('storage', type, key, device, size)");
    }
    push(std::make_shared<const Storage>(Storage{**key, type->dtype, *elements}));
  }

  std::vector<std::int64_t> sizes(const Value& value) const {
    const auto* tuple = std::get_if<TupleRef>(&value);
    if (tuple == nullptr) broken("a tensor's shape or strides are no tuple");
    if ((*tuple)->items.size() > kMostDimensions)
      broken("a tensor of ", (*tuple)->items.size(), " dimensions");
    std::vector<std::int64_t> numbers;
    for (const Value& item : (*tuple)->items) {
      const auto* number = std::get_if<std::int64_t>(&item);
      if (number == nullptr || *number < 0) broken("a tensor's shape or strides are not sizes of 0 or more");
      numbers.push_back(*number);
    }
    return numbers;
  }

  /// _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, ...)
  TensorRef rebuilt(const std::vector<Value>& arguments) const {
    if (arguments.size() < 4) broken("a tensor of ", arguments.size(), " arguments");
    const auto* storage = std::get_if<std::shared_ptr<const Storage>>(&arguments[0]);
    const auto* offset = std::get_if<std::int64_t>(&arguments[1]);
    if (storage == nullptr || offset == nullptr || *offset < 0) broken("a tensor without storage or offset");
    auto tensor = std::make_shared<PickledTensor>();
    tensor->storage = (*storage)->key;
    tensor->dtype = (*storage)->dtype;
    tensor->storage_elements = (*storage)->elements;
    tensor->offset = *offset;
    tensor->shape = sizes(arguments[2]);
    tensor->strides = sizes(arguments[3]);
    if (tensor->shape.size() != tensor->strides.size())
      broken("a tensor with fewer strides than dimensions, or more");
    check_inside(*tensor);
    return tensor;
  }

  void check_inside(const PickledTensor& tensor) const {
    const std::optional<std::int64_t> elements = checked_bits(tensor.shape, 1);
    std::int64_t room = tensor.storage_elements - tensor.offset;  // both are >= 0
    bool inside = elements && *elements <= tensor.storage_elements && room >= (*elements == 0 ? 0 : 1);
    for (std::size_t i = 0; inside && *elements != 0 && i < tensor.shape.size(); ++i) {
      const std::int64_t steps = tensor.shape[i] - 1, stride = tensor.strides[i];
      inside = steps == 0 || stride <= (room - 1) / steps;  // room >= 1
      if (inside) room -= steps * stride;
    }
    if (inside) return;
    broken("a tensor of shape ", shape_text(tensor.shape), ", strides ", shape_text(tensor.strides),
           " and offset ", tensor.offset, " leaves its storage of ", tensor.storage_elements, " elements");
  }

  void reduce() {
    const Value arguments = pop(), callee = pop();
    const auto* function = std::get_if<Function>(&callee);
    const auto* tuple = std::get_if<TupleRef>(&arguments);
    if (function == nullptr || tuple == nullptr) broken("a call of what is no function");
    const std::vector<Value>& items = (*tuple)->items;
    switch (*function) {
      case Function::rebuild_tensor: return push(rebuilt(items));
      case Function::rebuild_parameter:
        if (items.empty() || !std::holds_alternative<TensorRef>(items[0]))
          broken("a parameter without a tensor");
        return push(items[0]);
      case Function::ordered_dict:
        if (!items.empty()) broken("an OrderedDict with arguments");
        return push(std::make_shared<Dict>());
    }
  }

  /// object.__dict__ = state: of a dictionary, that is _metadata, which says nothing about tensors.
  void build() {
    pop();
    if (!std::holds_alternative<DictRef>(top())) broken("attributes for what is no dictionary");
  }

  /// One instruction; false after the last.
  bool step() {
    opcode_at_ = at_;
    switch (const auto opcode = static_cast<unsigned char>(take_unsigned(1)); opcode) {
      case 0x80: version(take_unsigned(1)); return true;       // PROTO
      case 0x95: take(8); return true;                         // FRAME
      case '.': return false;                                  // STOP
      case '(': marks_.push_back(stack_.size()); return true;  // MARK
      case ')': push_tuple({}); return true;                   // EMPTY_TUPLE
      case 0x85:
      case 0x86:
      case 0x87: push_last(opcode - 0x84u); return true;      // TUPLE1, 2, 3
      case 't': push_tuple(pop_to_mark()); return true;       // TUPLE
      case '}': push(std::make_shared<Dict>()); return true;  // EMPTY_DICT
      case 'N':
      case 0x88:
      case 0x89: push(Opaque{}); return true;                                    // NONE, NEWTRUE, NEWFALSE
      case 'J': push(take_signed(4)); return true;                               // BININT
      case 'K': push(static_cast<std::int64_t>(take_unsigned(1))); return true;  // BININT1
      case 'M': push(static_cast<std::int64_t>(take_unsigned(2))); return true;  // BININT2
      case 0x8a: push(take_signed(static_cast<std::size_t>(take_unsigned(1)))); return true;  // LONG1
      case 'X': push_text(take_text(take_unsigned(4))); return true;                          // BINUNICODE
      case 0x8c: push_text(take_text(take_unsigned(1))); return true;  // SHORT_BINUNICODE
      case 'q': remember(take_unsigned(1)); return true;               // BINPUT
      case 'r': remember(take_unsigned(4)); return true;               // LONG_BINPUT
      case 0x94: remember(memo_.size()); return true;                  // MEMOIZE
      case 'h': recall(take_unsigned(1)); return true;                 // BINGET
      case 'j': recall(take_unsigned(4)); return true;                 // LONG_BINGET
      case 'c': global(); return true;                                 // GLOBAL
      case 'Q': push_storage(); return true;                           // BINPERSID
      case 'R': reduce(); return true;                                 // REDUCE
      case 'b': build(); return true;                                  // BUILD
      case 's': set_item(); return true;                               // SETITEM
      case 'u': set_items(pop_to_mark()); return true;                 // SETITEMS
      default: broken("opcode ", static_cast<int>(opcode), " has no place in a state_dict");
    }
  }

  void version(std::uint64_t number) const {
    if (number < 2 || number > 5) broken("protocol ", number, "; expected 2 to 5");
  }

  void push_text(std::string_view text) { push(std::make_shared<const std::string>(text)); }

  void global() {
    const std::string_view module = take_line(), name = take_line();
    push_global(cat(module, ".", name));
  }

  void set_item() {
    Value value = pop(), key = pop();
    set_items({std::move(key), std::move(value)});
  }

  std::span<const std::byte> pickle_;
  const std::string& origin_;
  std::size_t at_ = 0, opcode_at_ = 0;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value> memo_;
};

}  // namespace

std::map<std::string, PickledTensor> read_state_dict_pickle(std::span<const std::byte> pickle,
                                                            const std::string& origin) {
  return Reader(pickle, origin).read();
}

}  // namespace mquant
