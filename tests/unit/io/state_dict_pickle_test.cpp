#include "io/state_dict_pickle.h"

#include <gtest/gtest.h>

#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::Pickle;
using test::thrown;
using Shape = std::vector<std::int64_t>;

std::map<std::string, PickledTensor> read(const std::string& pickle) {
  return read_state_dict_pickle(std::as_bytes(std::span(pickle)), "f");
}

/// The message of a broken pickle, without "input: f: ".
std::string error(const std::string& pickle) {
  const std::string prefix = "input: f: ", message = thrown([&] { read(pickle); });
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}

/// {"w": a float tensor of `elements`, seen so}
std::string one(std::int32_t elements, std::int32_t offset, const std::vector<std::int32_t>& shape,
                const std::vector<std::int32_t>& strides) {
  return Pickle()
      .raw("}")
      .text("w")
      .tensor("FloatStorage", "0", elements, offset, shape, strides)
      .raw("s")
      .done();
}

TEST(StateDictPickle, ReadsADictionaryOfTensors) {
  const auto tensors = read(Pickle()
                                .raw("}q\x01(")
                                .text("a")
                                .tensor("BFloat16Storage", "0", 12, 2, {3, 2}, {2, 1})
                                .text("b")
                                .tensor("LongStorage", "7", 1, 0, {}, {})
                                .raw("u")
                                .done());
  ASSERT_EQ(tensors.size(), 2U);
  const PickledTensor &a = tensors.at("a"), &b = tensors.at("b");
  EXPECT_EQ(a.storage, "0");
  EXPECT_EQ(a.dtype, DType::bf16);
  EXPECT_EQ(a.storage_elements, 12);
  EXPECT_EQ(a.offset, 2);
  EXPECT_EQ(a.shape, (Shape{3, 2}));
  EXPECT_EQ(a.strides, (Shape{2, 1}));
  EXPECT_EQ(b.dtype, DType::i64);
  EXPECT_EQ(b.storage, "7");
  EXPECT_EQ(b.shape, Shape{});
}

TEST(StateDictPickle, ReadsModuleStateDictsWithTheirMetadata) {
  // collections.OrderedDict() with items, then __dict__ = {"_metadata": OrderedDict({"": {"version": 1}})}
  const auto tensors = read(Pickle()
                                .global("collections", "OrderedDict")
                                .raw(")R(")
                                .text("w")
                                .tensor("HalfStorage", "0", 4, 0, {4}, {1})
                                .raw("u}")
                                .text("_metadata")
                                .global("collections", "OrderedDict")
                                .raw(")R")
                                .text("")
                                .raw("}")
                                .text("version")
                                .number(1)
                                .raw("sssb")
                                .done());
  ASSERT_EQ(tensors.size(), 1U);
  EXPECT_EQ(tensors.at("w").dtype, DType::f16);
}

TEST(StateDictPickle, ReadsParameters) {
  const auto tensors = read(Pickle()
                                .raw("}")
                                .text("p")
                                .global("torch._utils", "_rebuild_parameter")
                                .raw("(")
                                .tensor("FloatStorage", "0", 4, 0, {2, 2}, {1, 2})
                                .raw("\x88")
                                .global("collections", "OrderedDict")
                                .raw(")RtRs")
                                .done());
  EXPECT_EQ(tensors.at("p").strides, (Shape{1, 2}));
}

TEST(StateDictPickle, EveryOpcodeOfTheFormatIsKnown) {
  // The storage and the shape are kept and recalled; integers of every width; protocol 4's frames and short texts.
  using namespace std::string_literals;
  const std::string pickle =
      "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"s
      "a" +
      "ctorch._utils\n_rebuild_tensor_v2\n"s +
      "((\x8c\x07"s
      "storage" +
      "ctorch\nFloatStorage\n\x8c\x01"s
      "k" +
      "\x8c\x03"s
      "cpu" +
      "M\x04\x01tQr\x09\x00\x00\x00"s + "K\x01\x8a\x01\x03\x8a\x00\x86q\x07K\x01K\x01\x86\x89NtR"s +
      "\x8c\x01"s
      "b" +
      "ctorch._utils\n_rebuild_tensor_v2\n(j\x09\x00\x00\x00K\x00h\x07h\x07\x89NtRu."s;
  const auto tensors = read(pickle);
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors.at("a").storage_elements, 260);
  EXPECT_EQ(tensors.at("a").shape, (Shape{3, 0}));
  EXPECT_EQ(tensors.at("b").storage, "k");
}

TEST(StateDictPickle, NothingOfAFileIsRun) {
  EXPECT_EQ(
      error(Pickle().global("os", "system").raw("(").text("id").raw("tR").done()),
      "pickle, byte 2: it names 'os.system', which no state_dict needs; nothing of a checkpoint is ever run");
  EXPECT_EQ(
      error(Pickle().global("torch._utils", "_rebuild_qtensor").done()),
      "pickle, byte 2: it names 'torch._utils._rebuild_qtensor', which no state_dict needs; nothing of a "
      "checkpoint is ever run");
  EXPECT_EQ(error(Pickle().global("torch", "FloatStorage\x1b").done()).find('\x1b'), std::string::npos);
  EXPECT_EQ(error(Pickle().raw("}").raw("}").raw("R").done()),
            "pickle, byte 4: a call of what is no function");
}

TEST(StateDictPickle, OtherElementTypesAreUnsupported) {
  EXPECT_EQ(thrown([] { read(Pickle().global("torch", "ComplexFloatStorage").done()); }),
            "unsupported: f: tensors in a torch.ComplexFloatStorage, which is not computed with here; give a "
            "checkpoint "
            "in bfloat16, float16 or float32");
}

TEST(StateDictPickle, OtherThingsThanTensorsAreRefused) {
  EXPECT_EQ(error(Pickle().number(1).done()), "not a state_dict: the whole is no dictionary");
  EXPECT_EQ(error(Pickle().raw("}").text("epoch").number(3).raw("s").done()),
            "not a state_dict: 'epoch' is not a tensor; save model.state_dict() alone");
  EXPECT_EQ(error(Pickle().raw("}").text("model").raw("}s").done()),
            "not a state_dict: 'model' is not a tensor; save model.state_dict() alone");
  EXPECT_EQ(error(Pickle().raw("]").done()), "pickle, byte 2: opcode 93 has no place in a state_dict");
}

TEST(StateDictPickle, ATensorStaysInItsStorage) {
  EXPECT_EQ(read(one(6, 1, {2, 2}, {3, 1})).at("w").offset, 1);  // the last element is the storage's
  EXPECT_EQ(read(one(0, 0, {0, 5}, {5, 1})).size(), 1U);
  EXPECT_EQ(read(one(3, 3, {0}, {1})).size(), 1U);
  const std::string leaves = " leaves its storage of 6 elements";
  const auto has_left = [&](const std::string& pickle) { return error(pickle).ends_with(leaves); };
  EXPECT_TRUE(has_left(one(6, 2, {2, 2}, {3, 1}))) << error(one(6, 2, {2, 2}, {3, 1}));
  EXPECT_TRUE(has_left(one(6, 6, {}, {})));
  EXPECT_TRUE(has_left(one(6, 7, {0}, {1})));
  EXPECT_TRUE(has_left(one(6, 0, {2}, {INT32_MAX})));
  EXPECT_TRUE(has_left(one(6, 0, {7}, {0})));  // one element repeated: a copy would grow without bound
  EXPECT_TRUE(has_left(one(6, 0, {INT32_MAX, INT32_MAX, INT32_MAX}, {0, 0, 0})));
  EXPECT_EQ(error(one(6, 2, {2, 2}, {3, 1})).substr(error(one(6, 2, {2, 2}, {3, 1})).find(": ") + 2),
            "a tensor of shape [2, 2], strides [3, 1] and offset 2 leaves its storage of 6 elements");
  EXPECT_NE(error(one(6, 0, {-1}, {1})).find("are not sizes of 0 or more"), std::string::npos);
  EXPECT_NE(error(one(6, 0, {2}, {-1})).find("are not sizes of 0 or more"), std::string::npos);
  EXPECT_NE(error(one(6, -1, {2}, {1})).find("a tensor without storage or offset"), std::string::npos);
  EXPECT_NE(error(one(6, 0, {2, 3}, {1})).find("a tensor with fewer strides than dimensions"),
            std::string::npos);
  EXPECT_NE(error(one(-6, 0, {2}, {1})).find("a storage's id is not"), std::string::npos);
  EXPECT_NE(error(one(6, 0, std::vector<std::int32_t>(33, 1), {1})).find("a tensor of 33 dimensions"),
            std::string::npos);
}

TEST(StateDictPickle, BrokenPicklesAreRefusedWithTheirPlace) {
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "byte 0: it ends too early"},
      {"\x80", "byte 0: it ends too early"},
      {"\x80\x02}", "byte 3: it ends too early"},
      {"\x80\x02.", "byte 2: a value is missing on the stack"},
      {"\x80\x01}.", "byte 0: protocol 1; expected 2 to 5"},
      {"X\xFF\xFF\xFF\xFFx", "byte 0: it ends too early"},
      {"ctorch", "byte 0: it ends too early"},
      {"t", "byte 0: a mark is missing on the stack"},
      {"\x86", "byte 0: a value is missing on the stack"},
      {"K\x01(\x85", "byte 3: a value is missing on the stack"},
      {"q\x01", "byte 0: a value is missing on the stack"},
      {"h\x05", "byte 0: no value was kept as number 5"},
      {"j\xFF\xFF\xFF\xFF", "byte 0: no value was kept as number 4294967295"},
      {"\x8a\x09"
       "123456789",
       "byte 0: an integer of 9 bytes"},
      {"}(K\x01u", "byte 4: a dictionary's key without a value"},
      {"}K\x01K\x01s", "byte 5: a dictionary's key is no string"},
      {"K\x01(X\x01\0\0\0aK\x01u"s, "byte 11: items for what is no dictionary"},
      {"}X\x01\0\0\0aK\x01sX\x01\0\0\0aK\x01s"s, "byte 18: 'a' is there twice"},
      {"K\x01Q", "byte 2: a storage's id is no tuple of 5"},
      {"(K\x01K\x01K\x01K\x01K\x01tQ", "byte 12: a storage's id is not ('storage', type, key, device, size)"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R", "byte 34: a tensor of 0 arguments"},
      {"ctorch._utils\n_rebuild_parameter\n)R", "byte 34: a parameter without a tensor"},
      {"ccollections\nOrderedDict\nK\x01\x85R", "byte 28: an OrderedDict with arguments"},
      {"K\x01}b", "byte 3: attributes for what is no dictionary"},
      {")" + std::string(8, '\x85'), "byte 8: tuples nested more than 8 deep"},
      {"}(" + "X\x01\x04\0\0"s + std::string(1025, 'n') + "K\x01u",
       "byte 1034: a name of 1025 bytes; expected at most 1024"},
  };
  for (const auto& [pickle, message] : cases) EXPECT_EQ(error(pickle), "pickle, " + message);
}

TEST(StateDictPickle, HostileSizesCostNeitherStackNorMemory) {
  EXPECT_EQ(error(")" + std::string(2'000'000, '\x85')), "pickle, byte 8: tuples nested more than 8 deep");
  EXPECT_EQ(error(std::string(2'000'000, ')')),
            "pickle, byte 1048576: more than 1048576 values on the stack");
  // A long text recalled 400,000 times: 400 GB if it were copied.
  std::string recalled = Pickle().text(std::string(1'000'000, 'x')).raw("q\x01").done();
  recalled.pop_back();
  for (int i = 0; i < 400'000; ++i) recalled += "h\x01";
  EXPECT_EQ(error(recalled + "."), "not a state_dict: the whole is no dictionary");
  // A dictionary that holds itself is a value that is no tensor, and is freed.
  EXPECT_EQ(error("}q\x01X\x01" + std::string("\0\0\0ah\x01s.", 9)),
            "not a state_dict: 'a' is not a tensor; save model.state_dict() alone");
}

}  // namespace
}  // namespace mquant
