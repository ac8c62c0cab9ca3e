// A disk that is full, played by a limit on the size of files.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "mquant/artifact.h"
#include "mquant/error.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;
using test::Contents;
using test::MadeUp;

/// No file of this process grows beyond `bytes` while this lives.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

template <class Work>
ErrorKind kind_of_failure(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "nothing failed";
  return ErrorKind::internal;
}

TEST(FullDisk, ExportLeavesNothing) {
  const MadeUp made(Contents::all);
  for (const rlim_t bytes : {0, 300, 2500, 9000}) {
    const FullDisk disk(bytes);
    EXPECT_EQ(
        kind_of_failure([&] { write_artifact(made.input(), "mquant", made.directory() / "out", false); }),
        ErrorKind::resources)
        << bytes;
    EXPECT_FALSE(fs::exists(made.directory() / "out")) << bytes;
    EXPECT_FALSE(fs::exists(made.directory() / ".out.partial")) << bytes;
  }
  write_artifact(made.input(), "mquant", made.directory() / "out", false);
  EXPECT_TRUE(verify_artifact(made.directory() / "out", made.model()).problems.empty());
}

TEST(FullDisk, CalibrationGoesOnWhenThereIsSpaceAgain) {
  const test::TempDir temp;
  const ModelSpec model = test::made_up_model();
  const auto block = [&](std::size_t i) { return test::made_up_block(model.blocks[i], Contents::all); };
  const auto run = [&](const fs::path& directory, bool full_at_times) {
    CalibrationStore store = CalibrationStore::create(directory, test::made_up_identity("/models/made-up"));
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
      if (full_at_times) {
        const FullDisk disk(40 * i);  // in the shard, in the record, in the journal
        EXPECT_EQ(kind_of_failure([&] { store.add(block(i)); }), ErrorKind::resources) << i;
      }
      store.add(block(i));
    }
    store.finish("{}");
  };
  run(temp / "whole", false);
  run(temp / "full", true);
  EXPECT_EQ(test::contents_of(temp / "full"), test::contents_of(temp / "whole"));
}

}  // namespace
}  // namespace mquant
