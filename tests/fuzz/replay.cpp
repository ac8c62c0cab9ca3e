// main() of a fuzz target without libFuzzer: runs it on each file of its arguments, directories file by file.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/fuzz/target.h"
#include "tests/support/files.h"

namespace {

std::vector<std::filesystem::path> files_of(const std::vector<std::filesystem::path>& arguments) {
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path& argument : arguments) {
    if (!std::filesystem::is_directory(argument)) {
      files.push_back(argument);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argument)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const auto files = files_of({argv + 1, argv + argc});
  if (files.empty()) {
    std::fputs("no inputs\n", stderr);
    return 1;
  }
  for (const std::filesystem::path& file : files) {
    std::fprintf(stderr, "%s\n", file.c_str());  // before it runs: the last line names the input that crashes
    const std::string bytes = mquant::test::read_text(file);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
}
