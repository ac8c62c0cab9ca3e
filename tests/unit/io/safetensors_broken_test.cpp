// Every message of the reader, from the file that must cause it.
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::safetensors_file;
using test::thrown;

struct BrokenFile {
  std::string label, bytes, message;
};

std::string tensor(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return cat(R"({"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets, "}");
}

/// A file whose only tensor "t" is described so; 4 bytes of data.
std::string with(std::string_view description) {
  return safetensors_file(cat(R"({"t":)", description, "}"), "data");
}

/// A file with the tensors "a" and "b" of U8 at those places, and that much data.
std::string two(std::string_view a, int a_size, std::string_view b, int b_size, int data) {
  return safetensors_file(cat(R"({"a":)", tensor("U8", cat("[", a_size, "]"), a), R"(,"b":)",
                              tensor("U8", cat("[", b_size, "]"), b), "}"),
                          std::string(static_cast<std::size_t>(data), 'x'));
}

std::string times(std::size_t count, std::string_view text) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

const std::vector<BrokenFile>& broken_files() {
  static const std::string keys = "tensor 't': expected the keys dtype, shape and data_offsets";
  static const std::vector<BrokenFile> files = {
      // The length and the header as a whole.
      {"Empty", "", "expected at least 8 bytes, found 0; the download may be incomplete"},
      {"Short", "1234567", "expected at least 8 bytes, found 7; the download may be incomplete"},
      {"HugeHeader", std::string(8, '\xFF') + "{}",
       "the header should be 18446744073709551615 bytes long; expected at most 100000000: not a safetensors "
       "file"},
      {"HeaderLeavesFile", safetensors_file("{}", "").substr(0, 9),
       "the header should be 2 bytes long, but only 1 follow; the download may be incomplete"},
      {"LfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
       "this is a Git LFS pointer, not the file itself; run 'git lfs pull' there"},
      {"NoBrace", safetensors_file("[]", ""), "the header does not begin with '{': not a safetensors file"},
      {"NoHeader", safetensors_file("", ""), "the header does not begin with '{': not a safetensors file"},
      {"Syntax", safetensors_file(R"({"t":})", ""),
       "header: parse error at line 1, column 6: syntax error while parsing value - unexpected '}'; expected "
       "'[', '{', "
       "or a literal"},
      {"Utf8", safetensors_file("{\"\xFF\":1}", ""),
       "header: parse error at line 1, column 3: syntax error while parsing object key - invalid string: "
       "ill-formed UTF-8 "
       "byte; last read: '\"\\xff'; expected string literal"},
      {"TwoNames", safetensors_file(R"({"t":1,"t":1})", ""),
       "header: key 't' is there twice in one object; remove one"},
      {"TwoKeys", with(R"({"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]})"),
       "header: key 'dtype' is there twice in one object; remove one"},
      {"Deep", safetensors_file(R"({"t":)" + times(100'000, "["), ""),
       "header: nested more than 64 levels deep"},
      // One tensor.
      {"NoName", safetensors_file(R"({"":)" + tensor("U8", "[0]", "[0,0]") + "}", ""),
       "tensor '': the name is empty"},
      {"LongName", safetensors_file(cat("{\"", std::string(1025, 'n'), "\":1}"), ""),
       cat("tensor '", std::string(100, 'n'), "...", std::string(100, 'n'),
           "': the name has 1025 bytes; expected at most 1024")},
      {"ControlName", safetensors_file(R"({"\u001b[31m\n":1})", ""),
       R"(tensor '\x1b[31m\x0a': expected the keys dtype, shape and data_offsets, found 1)"},
      {"NotAnObject", with("[1,2]"), keys + ", found [1,2]"},
      {"NoDtype", with(R"({"shape":[4],"data_offsets":[0,4]})"), keys + "; dtype is missing"},
      {"NoShape", with(R"({"dtype":"U8","data_offsets":[0,4]})"), keys + "; shape is missing"},
      {"NoOffsets", with(R"({"dtype":"U8","shape":[4]})"), keys + "; data_offsets is missing"},
      {"MoreKeys", with(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"strides":[1]})"),
       keys + ", found 'strides'"},
      {"DtypeNumber", with(R"({"dtype":1,"shape":[4],"data_offsets":[0,4]})"),
       "tensor 't': dtype: expected a string, found 1"},
      {"DtypeUnknown", with(tensor("float", "[4]", "[0,4]")), "tensor 't': no such dtype as 'float'"},
      {"ShapeNumber", with(tensor("U8", "4", "[0,4]")), "tensor 't': shape: expected a list, found 4"},
      {"ShapeNegative", with(tensor("U8", "[-4]", "[0,4]")),
       "tensor 't': shape: expected sizes of 0 or more, found -4"},
      {"ShapeFraction", with(tensor("U8", "[4.0]", "[0,4]")),
       "tensor 't': shape: expected sizes of 0 or more, found 4.0"},
      {"ShapeBeyond63Bits", with(tensor("U8", "[9223372036854775808]", "[0,4]")),
       "tensor 't': shape: expected sizes of 0 or more, found 9223372036854775808"},
      {"ShapeRank", with(tensor("U8", "[4" + times(32, ",1") + "]", "[0,4]")),
       "tensor 't': shape: expected at most 32 dimensions, found 33"},
      {"ShapeOverflow", with(tensor("U8", "[4294967296,4294967296]", "[0,4]")),
       "tensor 't': shape [4294967296, 4294967296] is too large for any memory"},
      {"ShapeOverflowToTheRightSize", with(tensor("U8", "[4611686018427387905,4]", "[0,4]")),
       "tensor 't': shape [4611686018427387905, 4] is too large for any memory"},
      {"ShapeOverflowBesideZero", with(tensor("U8", "[0,4294967296,4294967296]", "[0,0]")),
       "tensor 't': shape [0, 4294967296, 4294967296] is too large for any memory"},
      {"OffsetsThree", with(tensor("U8", "[4]", "[0,4,4]")),
       "tensor 't': data_offsets: expected two sizes, [begin, end], found [0,4,4]"},
      {"OffsetsNegative", with(tensor("U8", "[4]", "[-1,3]")),
       "tensor 't': data_offsets: expected two sizes, [begin, end], found [-1,3]"},
      {"OffsetsText", with(tensor("U8", "[4]", "\"0,4\"")),
       "tensor 't': data_offsets: expected two sizes, [begin, end], found \"0,4\""},
      {"OffsetsBackwards", with(tensor("U8", "[0]", "[3,2]")),
       "tensor 't': data_offsets: begin 3 is after end 2"},
      {"OffsetsLeaveFile", with(tensor("U8", "[5]", "[0,5]")),
       "tensor 't': data_offsets: the tensor ends at 5, but there are only 4 bytes of data; the download may "
       "be "
       "incomplete"},
      {"SizeTooSmall", with(tensor("F32", "[2]", "[0,4]")),
       "tensor 't': shape [2] of F32 is 8 bytes, but its data_offsets hold 4"},
      {"SizeTooLarge", with(tensor("F32", "[]", "[0,2]")),
       "tensor 't': shape [] of F32 is 4 bytes, but its data_offsets hold 2"},
      {"HalfAByte", with(tensor("F4", "[9]", "[0,4]")),
       "tensor 't': shape [9] of F4 is 36 bits, but its data_offsets hold 4 bytes"},
      // The tensors together.
      {"Overlap", two("[0,3]", 3, "[2,4]", 2, 4), "tensors 'a' and 'b' overlap at byte 2 of the data"},
      {"Same", two("[0,4]", 4, "[0,4]", 4, 4), "tensors 'a' and 'b' overlap at byte 0 of the data"},
      {"Hole", two("[0,1]", 1, "[2,4]", 2, 4),
       "bytes 1 to 2 of the data, before tensor 'b', belong to no tensor"},
      {"HoleInFront", two("[2,3]", 1, "[3,4]", 1, 4),
       "bytes 0 to 2 of the data, before tensor 'a', belong to no tensor"},
      {"Trailing", two("[0,1]", 1, "[1,2]", 1, 4), "2 bytes after the last tensor belong to no tensor"},
      // Metadata.
      {"MetadataText", safetensors_file(R"({"__metadata__":"pt"})", ""),
       "__metadata__: expected an object of strings, found \"pt\""},
      {"MetadataNumber", safetensors_file(R"({"__metadata__":{"version":1}})", ""),
       "__metadata__: 'version': expected a string, found 1"},
  };
  return files;
}

class BrokenSafetensors : public testing::TestWithParam<BrokenFile> {};

TEST_P(BrokenSafetensors, IsRefusedWithItsCause) {
  const test::TempDir directory;
  test::write_text(directory / "f", GetParam().bytes);
  EXPECT_EQ(thrown([&] { SafetensorsFile(directory / "f"); }),
            cat("input: ", (directory / "f").string(), ": ", GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, BrokenSafetensors, testing::ValuesIn(broken_files()),
                         [](const auto& test) { return test.param.label; });

TEST(Safetensors, AnAbsentFileIsNamed) {
  const test::TempDir directory;
  EXPECT_EQ(thrown([&] { SafetensorsFile(directory / "none"); }),
            cat("input: cannot open '", (directory / "none").string(), "': No such file or directory"));
}

TEST(Safetensors, TypesThatAreNotComputedWithStandAsideUntilTheyAreAskedFor) {
  const test::TempDir directory;
  test::write_text(directory / "f", safetensors_file(R"({"scale":)" + tensor("F32", "[1]", "[0,4]") +
                                                         R"(,"w":)" + tensor("F8_E4M3", "[2,2]", "[4,8]") +
                                                         R"(,"x":)" + tensor("F4", "[2]", "[8,9]") + "}",
                                                     "123456789"));
  const SafetensorsFile file(directory / "f");
  EXPECT_EQ(file.names().size(), 3U);
  EXPECT_EQ(test::text_of(file.get("scale").bytes), "1234");
  EXPECT_EQ(
      thrown([&] { file.get("w"); }),
      cat("unsupported: ", (directory / "f").string(),
          ": tensor 'w' is F8_E4M3, which is not computed with here; give a checkpoint in BF16, F16 or F32"));
}

}  // namespace
}  // namespace mquant
