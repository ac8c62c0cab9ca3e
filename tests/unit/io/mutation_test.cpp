// Files that were right once: bytes flipped, cut, doubled.  Each must be read or refused with an Error, nothing else.
#include <gtest/gtest.h>

#include <set>

#include "io/convert.h"
#include "io/safetensors.h"
#include "io/state_dict_pickle.h"
#include "mquant/config.h"
#include "support/rng.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

/// One to four random changes within the first `reach` bytes.
std::string mutated(std::string text, std::size_t reach, Rng& rng) {
  static constexpr std::string_view kTelling = "0919\"{}[]:,-\\\0\xFF\x80(tRsu.";
  for (std::uint64_t changes = 1 + rng.next() % 4; changes > 0 && !text.empty(); --changes) {
    const std::size_t at = rng.next() % std::min(reach, text.size());
    const std::size_t length = std::min<std::size_t>(1 + rng.next() % 16, text.size() - at);
    switch (rng.next() % 6) {
      case 0: text[at] = static_cast<char>(text[at] ^ (1 << rng.next() % 8)); break;
      case 1: text[at] = static_cast<char>(rng.next()); break;
      case 2: text[at] = kTelling[rng.next() % kTelling.size()]; break;
      case 3: text.erase(at, length); break;
      case 4: text.insert(at, text.substr(at, length)); break;
      default:
        if (rng.next() % 4 == 0) text.resize(at);
    }
  }
  return text;
}

struct Outcome {
  int read = 0;
  std::set<std::string> messages;
};

/// Runs `work` on mutations of `text`.  Any exception but an Error of the user's kind fails the test.
template <class Work>
Outcome survive(const std::string& text, std::size_t reach, int rounds, Work work) {
  Outcome outcome;
  Rng rng(20240229);
  for (int i = 0; i < rounds; ++i) {
    const std::string changed = mutated(text, reach, rng);
    try {
      work(changed);
      ++outcome.read;
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::input || error.kind() == ErrorKind::unsupported) << error.what();
      std::string message = error.what();
      EXPECT_EQ(message.find_first_of("\n\r\x1b"), std::string::npos) << message;
      message.erase(0, message.find(": "));  // the file
      outcome.messages.insert(message.substr(0, message.find_first_of("0123456789")));
    }
  }
  return outcome;
}

TEST(Mutations, OfSafetensorsAreReadOrRefused) {
  const test::TempDir directory;
  const std::vector<std::byte> bytes = test::random_bytes(24, 1);
  const std::span<const std::byte> all(bytes);
  write_safetensors(directory / "good",
                    {{"model.a", {DType::f32, {2, 2}, all.first(16)}},
                     {"model.b", {DType::bf16, {4}, all.first(8)}},
                     {"c", {DType::i8, {3}, all.first(3)}},
                     {"none", {DType::f16, {0, 4}, {}}}},
                    {{"format", "pt"}});
  const std::string good = test::read_text(directory / "good");
  const auto read_all = [&](const std::string& text) {
    test::write_text(directory / "f", text);
    const SafetensorsFile file(directory / "f");
    double sum = 0;
    for (const std::string& name : file.names()) {
      for (const double value : to_doubles(file.get(name))) sum += value;  // touches every byte
    }
    volatile double kept = sum;
    static_cast<void>(kept);
  };
  read_all(good);
  const Outcome outcome = survive(good, good.size(), 3'000, read_all);
  EXPECT_GT(outcome.read, 100);             // values and names may change
  EXPECT_GT(outcome.messages.size(), 30U);  // the mutations reach most checks
}

TEST(Mutations, OfConfigsAreReadOrRefused) {
  const std::string good = test::read_text(test::data_path("goldens/qwen2_vl/model/config.json"));
  const Outcome outcome = survive(good, good.size(), 5'000, [](const std::string& text) {
    const Config config = Config::parse(text, "c");
    config.positive("hidden_size");
    config.integers("rope_scaling.mrope_section");
    config.positive_or("vision_config.depth", 1);
  });
  EXPECT_GT(outcome.read, 100);
  EXPECT_GT(outcome.messages.size(), 10U);
}

TEST(Mutations, OfStateDictPicklesAreReadOrRefused) {
  const std::string good = test::Pickle()
                               .global("collections", "OrderedDict")
                               .raw(")Rq\x01(")
                               .text("w")
                               .tensor("FloatStorage", "0", 12, 1, {2, 3}, {3, 1})
                               .text("b")
                               .tensor("BFloat16Storage", "1", 3, 0, {3}, {1})
                               .raw("u}")
                               .text("_metadata")
                               .raw("}sb")
                               .done();
  const Outcome outcome = survive(good, good.size(), 20'000, [](const std::string& text) {
    for (const auto& [name, tensor] : read_state_dict_pickle(std::as_bytes(std::span(text)), "f")) {
      std::int64_t last = tensor.offset, elements = 1;
      for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
        elements *= tensor.shape[i];
        if (tensor.shape[i] > 1) last += (tensor.shape[i] - 1) * tensor.strides[i];
      }
      EXPECT_TRUE(elements == 0 || last < tensor.storage_elements) << name;
      EXPECT_LE(elements, tensor.storage_elements) << name;
    }
  });
  EXPECT_GT(outcome.read, 100);
  EXPECT_GT(outcome.messages.size(), 30U);
}

}  // namespace
}  // namespace mquant
