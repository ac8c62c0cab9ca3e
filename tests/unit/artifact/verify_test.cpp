#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/artifact.h"
#include "support/strings.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;
using test::Contents;
using test::MadeUp;
using testing::HasSubstr;

class Verify : public testing::TestWithParam<const char*> {
 protected:
  Verify()
      : made_(std::string(GetParam()) == "mquant" ? Contents::all : Contents::plain),
        out_(made_.directory() / "out") {
    write_artifact(made_.input(), GetParam(), out_, false);
  }
  std::string problems() { return join(verify_artifact(out_, made_.model()).problems, "\n"); }

  MadeUp made_;
  fs::path out_;
};

TEST_P(Verify, GoodArtifactHasNoProblem) {
  const VerifyReport report = verify_artifact(out_, made_.model());
  EXPECT_THAT(report.problems, testing::IsEmpty());
  EXPECT_GT(report.linears, 15);
  EXPECT_GT(report.tensors, 60);
  EXPECT_GT(report.bytes, 5000);
}

TEST_P(Verify, EveryChangedByteIsFoundAndItsFileNamed) {
  int changed = 0;
  for (const auto& [name, whole] : test::contents_of(out_)) {
    for (std::size_t at = 0; at < whole.size(); at += 1 + whole.size() / 12) {
      std::string text = whole;
      text[at] = static_cast<char>(text[at] ^ 1);
      test::write_text(out_ / name, text);
      EXPECT_THAT(problems(), HasSubstr(name)) << "byte " << at;
      ++changed;
    }
    test::write_text(out_ / name, whole);
  }
  EXPECT_GT(changed, 60);
  EXPECT_EQ(problems(), "");
}

TEST_P(Verify, MissingAndCutFilesAreNamed) {
  for (const auto& [name, whole] : test::contents_of(out_)) {
    fs::remove(out_ / name);
    EXPECT_THAT(problems(), HasSubstr(name));
    test::write_text(out_ / name, whole.substr(0, whole.size() - 1));
    EXPECT_THAT(problems(), HasSubstr(name));
    test::write_text(out_ / name, whole);
  }
}

TEST_P(Verify, FilesThatTheManifestDoesNotNameAreTold) {
  for (const char* name :
       {"extra.safetensors", "pytorch_model.bin", "added_tokens.json", "tokenizer.model", "modeling_x.py",
        "chat_template.jinja", "vocab.txt", "additional_chat_templates/a.jinja"}) {
    test::write_text(out_ / name, "x");
    EXPECT_THAT(problems(), HasSubstr(name));
    fs::remove(out_ / name);
  }
  EXPECT_EQ(problems(), "");
  test::write_text(out_ / "letter.txt", "dear");
  test::write_text(out_ / "pictures" / "a.png", "x");
  EXPECT_EQ(problems(), "");
  EXPECT_THAT(join(verify_artifact(out_, made_.model()).warnings, "\n"),
              testing::AllOf(HasSubstr("letter.txt"), HasSubstr("pictures/a.png")));
}

TEST_P(Verify, OtherModelIsAProblemNotACrash) {
  ModelSpec other = made_.model();
  other.family = "another";
  EXPECT_THAT(join(verify_artifact(out_, other).problems, "\n"), HasSubstr("family"));
  other = made_.model();
  other.blocks[6].linears[0].out = 4;
  EXPECT_THAT(join(verify_artifact(out_, other).problems, "\n"), HasSubstr("q_proj"));
}

INSTANTIATE_TEST_SUITE_P(BothFormats, Verify, testing::Values("mquant", "compressed-tensors"),
                         [](const auto& test) { return std::string(test.param).substr(0, 6); });

}  // namespace
}  // namespace mquant
