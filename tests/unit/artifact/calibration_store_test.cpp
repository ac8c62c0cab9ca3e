#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mquant/artifact.h"
#include "mquant/error.h"
#include "support/rng.h"
#include "support/sha256.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;
using test::Contents;

RunIdentity identity() {
  RunIdentity identity = test::made_up_identity("/models/made-up");
  identity.source = {
      {{"config.json", "11"}, {"tokenizer.json", "22"}}, {{"README.md", "33"}}, {{"rms_norm_eps", "1e-06"}}};
  return identity;
}

std::string state_after(std::size_t blocks) { return cat("after-", blocks, ".safetensors"); }

void keep_state(CalibrationStore& store) {
  const std::size_t done = store.done().size();
  const std::string text = cat("state ", done);
  test::write_text(store.state_directory() / state_after(done), text);
  store.keep_state({{state_after(done), sha256_hex(text)}});
}

/// What a run does: continues after the last durable block, and keeps a state after each.
void run(const fs::path& directory, std::size_t blocks = 99) {
  const ModelSpec model = test::made_up_model();
  CalibrationStore store = CalibrationStore::is_calibration(directory)
                               ? CalibrationStore::resume(directory, identity())
                               : CalibrationStore::create(directory, identity());
  const std::size_t kept = store.state().blocks;
  if (kept > 0 && !store.finished()) {
    EXPECT_EQ(test::read_text(store.state_directory() / state_after(kept)), cat("state ", kept));
  }
  if (kept < store.done().size() && !store.finished()) keep_state(store);  // brought forward
  for (std::size_t i = store.done().size(); i < std::min(blocks, model.blocks.size()); ++i) {
    store.add(test::made_up_block(model.blocks[i], Contents::all));
    keep_state(store);
  }
  if (blocks >= model.blocks.size() && !store.finished()) store.finish("{\"seconds\": 1}\n");
}

class Calibration : public testing::Test {
 protected:
  fs::path directory() const { return temp_ / "calibration"; }
  template <class Work>
  std::string error(ErrorKind kind, const Work& work) {
    try {
      work();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    return "";
  }
  test::TempDir temp_;
};

TEST_F(Calibration, FinishedOneReadsBackAsItWasAdded) {
  run(directory());
  const CalibrationStore store = CalibrationStore::open(directory());
  EXPECT_TRUE(store.finished());
  EXPECT_FALSE(fs::exists(store.state_directory()));
  EXPECT_EQ(store.identity().recipe, identity().recipe);
  EXPECT_EQ(store.identity().seed, 42);
  ASSERT_EQ(store.done().size(), 8);
  for (const BlockSpec& spec : test::made_up_model().blocks)
    EXPECT_EQ(test::difference(store.read(spec.name), test::made_up_block(spec, Contents::all)), "")
        << spec.name;
}

TEST_F(Calibration, StateOfOlderBlocksIsRemoved) {
  run(directory(), 3);
  std::vector<std::string> state;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory() / "state"))
    state.push_back(entry.path().filename());
  EXPECT_EQ(state, std::vector<std::string>{state_after(3)});
}

// The journal is cut at every byte, which is what a kill during an append leaves; files of later blocks stay around.
TEST_F(Calibration, KillDuringAnyAppendEndsWithTheSameBytes) {
  run(temp_ / "whole");
  const auto expected = test::contents_of(temp_ / "whole");
  const std::string journal = expected.at("journal.jsonl");
  for (std::size_t cut = 0; cut < journal.size(); cut += 61) {
    fs::remove_all(directory());
    fs::copy(temp_ / "whole", directory(), fs::copy_options::recursive);
    test::write_text(directory() / "journal.jsonl", journal.substr(0, cut));
    const auto lines = std::count(journal.begin(), journal.begin() + static_cast<std::ptrdiff_t>(cut), '\n');
    fs::create_directory(directory() / "state");
    const std::size_t kept = static_cast<std::size_t>(lines) / 2;  // every other line is of a state
    for (const std::size_t i : {kept, kept + 1})
      test::write_text(directory() / "state" / state_after(i), cat("state ", i));
    test::write_text(directory() / "blocks" / "0003-x.safetensors.partial", "half");
    run(directory());
    EXPECT_EQ(test::contents_of(directory()), expected) << "cut at " << cut;
  }
}

TEST_F(Calibration, KilledProcessesEndWithTheSameBytes) {
  run(temp_ / "whole");
  Rng rng(3);
  int killed = 0;
  for (int i = 0; i < 30; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        run(directory());
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    usleep(static_cast<useconds_t>(rng.uniform() * 8000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "a resumed run failed";
    killed += WIFSIGNALED(status) ? 1 : 0;
  }
  EXPECT_GT(killed, 0);
  run(directory());
  EXPECT_EQ(test::contents_of(directory()), test::contents_of(temp_ / "whole"));
}

TEST_F(Calibration, ResumeSaysWhatDiffers) {
  run(directory(), 2);
  const auto message = [&](auto change) {
    RunIdentity other = identity();
    change(other);
    return error(ErrorKind::usage, [&] { CalibrationStore::resume(directory(), other); });
  };
  using testing::HasSubstr;
  EXPECT_THAT(
      message([](RunIdentity& i) { i.chat_template = "{{ messages }}"; }),
      testing::HasSubstr("--chat-template was absent and is of SHA-256 " + sha256_hex("{{ messages }}")));
  EXPECT_THAT(message([](RunIdentity& i) { i.template_date = "2026-11-30"; }),
              HasSubstr("--template-date was absent and is 2026-11-30"));
  EXPECT_THAT(message([](RunIdentity& i) { i.seed = 7; }), testing::HasSubstr("the seed was 42 and is 7"));
  EXPECT_NE(message([](RunIdentity& i) { i.tool_version = "0.2.0"; }).find("0.1.0"), std::string::npos);
  EXPECT_NE(message([](RunIdentity& i) {
              i.source.opened["model.safetensors"] = "00";
            }).find("'model.safetensors' is new"),
            std::string::npos);
  EXPECT_NE(message([](RunIdentity& i) {
              i.recipe = R"({"passes": [{"pass": "round", "damping": 0.05}], "calibration": {"samples": 2}})";
            }).find("/passes/0/damping was 0.01 and is 0.05"),
            std::string::npos);
  EXPECT_NE(message([](RunIdentity& i) {
              i.source.config["rms_norm_eps"] = "1e-05";
            }).find("config.json: 'rms_norm_eps' was 1e-06 and is 1e-05"),
            std::string::npos);
  EXPECT_NE(message([](RunIdentity& i) { i.sample_digests[1] = "00"; }).find("samples"), std::string::npos);
  EXPECT_NE(
      message([](RunIdentity& i) { i.libraries["libtorch"] = "3"; }).find("'libtorch' was 2.13.0 and is 3"),
      std::string::npos);
}

TEST_F(Calibration, ChangesThatEnterNoNumberDoNotStopIt) {
  run(directory(), 2);
  RunIdentity other = identity();
  other.model = "/elsewhere";
  other.data_file = "renamed.jsonl";
  other.source.opened["config.json"] = "44";  // another text with the same values
  other.source.sidecars = {{"README.md", "55"}, {"NOTICE", "66"}};
  EXPECT_EQ(CalibrationStore::resume(directory(), other).done().size(), 2);
  run(directory());
  EXPECT_EQ(CalibrationStore::open(directory()).identity().source.opened.at("config.json"), "11");
}

TEST_F(Calibration, WorkOfAllProcessesIsTold) {
  const ModelSpec model = test::made_up_model();
  BlockWork work{.seconds = 2, .cpu_seconds = 3, .phases = {{"load", 0.5}}, .counters = {{"means", 4}}};
  for (std::size_t i = 0; i < 3; ++i) {
    CalibrationStore store = i == 0 ? CalibrationStore::create(directory(), identity())
                                    : CalibrationStore::resume(directory(), identity());
    work.peak_bytes = i == 1 ? 900 : 100;
    if (i == 1) work.kept = 0.25;
    store.add(test::made_up_block(model.blocks[i], Contents::all), work);
  }
  const BlockWork all = CalibrationStore::resume(directory(), identity()).work();
  EXPECT_EQ(all.seconds, 6);
  EXPECT_EQ(all.cpu_seconds, 9);
  EXPECT_EQ(all.phases.at("load"), 1.5);
  EXPECT_EQ(all.counters.at("means"), 12);
  EXPECT_EQ(all.peak_bytes, 900);
  EXPECT_EQ(all.kept, 0.25);
}

// Whatever others put there: no run may delete it, under a name of ours or through a link.
TEST_F(Calibration, CreateTouchesNothingOfOthers) {
  for (const char* name : {"state/thesis.txt", "blocks/0000-x.safetensors", "journal.jsonl", "report.json"}) {
    fs::remove_all(directory());
    test::write_text(directory() / name, "precious");
    EXPECT_THROW(CalibrationStore::create(directory(), identity()), Error) << name;
    EXPECT_EQ(test::contents_of(directory()), (std::map<std::string, std::string>{{name, "precious"}}));
  }
  fs::remove_all(directory());
  test::write_text(temp_ / "elsewhere" / "thesis.safetensors", "precious");
  fs::create_directory(directory());
  fs::create_directory_symlink("../elsewhere", directory() / "state");
  EXPECT_THROW(CalibrationStore::create(directory(), identity()), Error);
  EXPECT_EQ(test::read_text(temp_ / "elsewhere" / "thesis.safetensors"), "precious");
  EXPECT_THROW(CalibrationStore::create("", identity()), Error);
}

TEST_F(Calibration, SweepsFollowNoLinkAndLeaveWhatIsNotOurs) {
  run(directory(), 3);
  test::write_text(temp_ / "elsewhere" / "thesis.safetensors", "precious");
  fs::rename(directory() / "state", temp_ / "moved");
  fs::create_directory_symlink(temp_ / "elsewhere", directory() / "state");
  EXPECT_THROW(CalibrationStore::resume(directory(), identity()), Error);
  fs::remove(directory() / "state");
  fs::rename(temp_ / "moved", directory() / "state");
  fs::create_symlink(temp_ / "elsewhere" / "thesis.safetensors", directory() / "blocks" / "a.safetensors");
  for (const char* name : {"state/thesis.txt", "blocks/thesis.txt", "state/deep/thesis.safetensors"})
    test::write_text(directory() / name, "precious");
  run(directory());
  for (const char* name : {"state/thesis.txt", "blocks/thesis.txt", "state/deep/thesis.safetensors"})
    EXPECT_EQ(test::read_text(directory() / name), "precious");
  CalibrationStore::remove(directory());
  for (const char* name : {"state/thesis.txt", "blocks/thesis.txt", "state/deep/thesis.safetensors"})
    EXPECT_EQ(test::read_text(directory() / name), "precious");
  EXPECT_EQ(test::read_text(temp_ / "elsewhere" / "thesis.safetensors"), "precious");
}

TEST_F(Calibration, RemovalCanBeKilledAndRepeated) {
  run(directory());
  const std::size_t files = test::contents_of(directory()).size();
  for (std::size_t kept = 1; kept < files; ++kept) {
    run(directory());
    // What is removed last proves the rest.
    std::vector<fs::path> all;
    for (const auto& [name, text] : test::contents_of(directory()))
      if (name != "run.json") all.push_back(directory() / name);
    for (std::size_t i = 0; i + kept < files; ++i) fs::remove(all[i]);
    CalibrationStore::remove(directory());
    EXPECT_FALSE(fs::exists(directory())) << kept;
  }
}

TEST_F(Calibration, LostRunFileIsToldBeforeAnythingIsRemoved) {
  run(directory(), 3);
  fs::remove(directory() / "run.json");
  const auto before = test::contents_of(directory());
  EXPECT_NE(
      error(ErrorKind::input, [&] { CalibrationStore::create(directory(), identity()); }).find("run.json"),
      std::string::npos);
  EXPECT_EQ(test::contents_of(directory()), before);
}

TEST_F(Calibration, CreateRefusesWhatIsThere) {
  run(directory(), 1);
  EXPECT_NE(
      error(ErrorKind::usage, [&] { CalibrationStore::create(directory(), identity()); }).find("--resume"),
      std::string::npos);
  test::write_text(temp_ / "photos" / "cat.jpg", "x");
  EXPECT_NE(error(ErrorKind::usage, [&] { CalibrationStore::create(temp_ / "photos", identity()); })
                .find("cat.jpg"),
            std::string::npos);
  EXPECT_NE(
      error(ErrorKind::input, [&] { CalibrationStore::resume(temp_ / "none", identity()); }).find("run.json"),
      std::string::npos);
}

TEST_F(Calibration, OnlyOneProcessWrites) {
  const CalibrationStore store = CalibrationStore::create(directory(), identity());
  EXPECT_NE(error(ErrorKind::usage, [&] { CalibrationStore::resume(directory(), identity()); })
                .find("another process"),
            std::string::npos);
}

TEST_F(Calibration, UnfinishedOneIsNotOpened) {
  run(directory(), 3);
  EXPECT_NE(error(ErrorKind::input, [&] { CalibrationStore::open(directory()); }).find("3 blocks are done"),
            std::string::npos);
}

TEST_F(Calibration, ChangedFileIsNamed) {
  for (const char* name : {"blocks/0002-vision.1.safetensors", "blocks/0005-decoder.0.json", "report.json"}) {
    fs::remove_all(directory());
    run(directory());
    std::string text = test::read_text(directory() / name);
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 4);
    test::write_text(directory() / name, text);
    EXPECT_NE(error(ErrorKind::input, [&] { CalibrationStore::open(directory()); }).find(name),
              std::string::npos);
  }
}

TEST_F(Calibration, HostileJournalIsAnInputError) {
  const std::string digest(64, 'a');
  for (const std::string& line :
       {std::string("{}"), std::string("[1]"), std::string("\"block\""),
        R"({"block": "../../x", "shard": ")" + digest + R"(", "record": ")" + digest + R"("})",
        R"({"block": "x", "shard": "abc", "record": ")" + digest + R"("})",
        R"({"state": {"/etc/passwd": ")" + digest + R"("}})", std::string(R"({"state": {"x": "abc"}})"),
        std::string(200, '[')}) {
    fs::remove_all(directory());
    run(directory(), 1);
    test::write_text(directory() / "journal.jsonl", line + "\n");
    EXPECT_NE(error(ErrorKind::input, [&] { CalibrationStore::resume(directory(), identity()); })
                  .find("journal.jsonl:1"),
              std::string::npos)
        << line;
  }
}

TEST_F(Calibration, NamesThatLeaveTheDirectoryAreRefused) {
  CalibrationStore store = CalibrationStore::create(directory(), identity());
  StoredBlock block = test::made_up_block(test::made_up_model().blocks[0], Contents::all);
  block.name = "../x";
  EXPECT_THROW(store.add(block), Error);
  EXPECT_THROW(store.keep_state({{"../run.json", sha256_hex("")}}), Error);
  block.name = "x";
  store.add(block);
  EXPECT_THROW(store.add(block), Error);  // twice
}

}  // namespace
}  // namespace mquant
