#include "support/memory.h"

#include <gtest/gtest.h>

#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

using test::write_text;

/// A machine with 8,000 kB free.
struct Machine : test::TempDir {
  Machine() {
    write_text(path() / "proc/meminfo", "MemTotal: 16000 kB\nMemFree: 100 kB\nMemAvailable:  8000 kB\n");
  }
  void group(const std::string& lines) { write_text(path() / "proc/self/cgroup", lines); }
  /// Of version two.
  void limit(const std::string& group, const std::string& most, const std::string& used) {
    file(group + "memory.max", most + "\n");
    file(group + "memory.current", used + "\n");
  }
  void file(const std::string& name, const std::string& text) {
    write_text(path() / "sys/fs/cgroup" / name, text);
  }
};

TEST(AvailableMemory, IsThatOfTheMachineWithoutGroups) {
  const Machine machine;
  EXPECT_EQ(available_memory(machine.path()), 8000 * 1024);
}

TEST(AvailableMemory, IsWhatTheNarrowestGroupLeaves) {
  Machine machine;
  machine.group("0::/a/b\n");
  machine.limit("a/", "5000000", "1000000");
  machine.limit("a/b/", "max", "900000");
  EXPECT_EQ(available_memory(machine.path()), 4000000);
}

TEST(AvailableMemory, CountsPagesOfFilesAsFree) {
  Machine machine;
  machine.group("0::/a\n");
  machine.limit("a/", "5000000", "4900000");
  machine.file("a/memory.stat", "anon 100\ninactive_file 2000000\n");
  EXPECT_EQ(available_memory(machine.path()), 2100000);
}

/// A container sees its own limit at the top, and a path of its host.
TEST(AvailableMemory, OfAContainerIsThatOfTheTop) {
  Machine machine;
  machine.group("0::/../../system.slice/x\n");
  machine.limit("", "3000000", "1000000");
  EXPECT_EQ(available_memory(machine.path()), 2000000);
}

TEST(AvailableMemory, KnowsGroupsOfVersionOne) {
  Machine machine;
  machine.group("9:memory:/job\n3:cpu,cpuacct:/job\n");
  machine.file("memory/job/memory.limit_in_bytes", "6000000\n");
  machine.file("memory/job/memory.usage_in_bytes", "5000000\n");
  EXPECT_EQ(available_memory(machine.path()), 1000000);
}

TEST(AvailableMemory, IsNeverNegative) {
  Machine machine;
  machine.group("0::/a\n");
  machine.limit("a/", "1000", "5000");
  EXPECT_EQ(available_memory(machine.path()), 0);
}

}  // namespace
}  // namespace mquant
