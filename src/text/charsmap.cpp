#include "text/charsmap.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kLargestTrie = std::size_t{8} << 20;  // NFKC with case folding takes 0.4 MiB
constexpr std::size_t kLongestReplacement = 1024;
constexpr int kMostRulesAtOnePlace = 32;
constexpr std::size_t kLongestRule = 1024;  // in bytes of text

/// A unit of a double array, as darts-clone packs it.
struct Unit {
  std::uint32_t bits;
  /// Units that hold a value have their highest bit set, so that no byte of text equals their label.
  std::uint32_t label() const { return bits & 0x800000FFU; }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & 0x200U) >> 6); }
  bool has_value() const { return (bits & 0x100U) != 0; }
  std::uint32_t value() const { return bits & 0x7FFFFFFFU; }
};

class TrieCheck {
 public:
  TrieCheck(std::string_view trie, std::string_view replacements)
      : units_(trie.size() / sizeof(Unit)), state_(units_.size(), kUnseen), replacements_(replacements) {
    std::memcpy(units_.data(), trie.data(), units_.size() * sizeof(Unit));
  }

  /// Goes to every unit that some text leads to; depth first, since rules on one path match at one place.
  void run() {
    enter(0);
    while (!path_.empty()) {
      Step& step = path_.back();
      if (step.next == 256) {
        leave();
        continue;
      }
      const std::uint32_t byte = step.next++, child = step.base ^ byte;
      if (units_[child].label() != byte) continue;
      if (state_[child] == kOnPath)
        fail(ErrorKind::input, "unit ", child, " of the trie leads back to itself");
      if (state_[child] == kUnseen)
        enter(child);
      else
        step.rules = std::max(step.rules, state_[child]);
    }
    if (state_[0] > kMostRulesAtOnePlace) {
      fail(ErrorKind::input, "expected at most ", kMostRulesAtOnePlace,
           " rules for texts that begin alike, found ", state_[0]);
    }
  }

  std::size_t longest_replacement() const { return longest_; }

 private:
  struct Step {
    std::uint32_t unit, base;
    std::uint32_t next;  // the byte to look at
    int rules;           // most of one path below this unit
  };
  static constexpr int kUnseen = -1, kOnPath = -2;  // else the rules of the longest path from this unit on

  void enter(std::uint32_t index) {
    const Unit unit = units_[index];
    const std::uint32_t base = index ^ unit.offset();
    if ((base | 0xFFU) >= units_.size()) {
      fail(ErrorKind::input, "unit ", index, " of the trie leads to unit ", base | 0xFFU, " of ",
           units_.size());
    }
    if (path_.size() > kLongestRule)
      fail(ErrorKind::input, "a rule is for a text of more than ", kLongestRule, " bytes");
    // The root stands for no text, so that it has no rule.
    if (index != 0 && unit.has_value()) check_replacement(units_[base].value());
    state_[index] = kOnPath;
    path_.push_back({.unit = index, .base = base, .next = 0, .rules = 0});
  }

  void leave() {
    const Step done = path_.back();
    path_.pop_back();
    const int rules = done.rules + (done.unit != 0 && units_[done.unit].has_value() ? 1 : 0);
    state_[done.unit] = rules;
    if (!path_.empty()) path_.back().rules = std::max(path_.back().rules, rules);
  }

  void check_replacement(std::size_t begin) {
    const std::size_t end =
        begin < replacements_.size() ? replacements_.find('\0', begin) : std::string_view::npos;
    if (end == std::string_view::npos) {
      fail(ErrorKind::input, "the replacement at byte ", begin, " of ", replacements_.size(), " has no end");
    }
    if (end - begin > kLongestReplacement) {
      fail(ErrorKind::input, "the replacement at byte ", begin, ": expected at most ", kLongestReplacement,
           " bytes, found ", end - begin);
    }
    longest_ = std::max(longest_, end - begin);
  }

  std::vector<Unit> units_;
  std::vector<int> state_;
  std::vector<Step> path_;
  std::string_view replacements_;
  std::size_t longest_ = 0;
};

}  // namespace

std::size_t check_charsmap(std::string_view charsmap) {
  std::uint32_t size = 0;
  if (charsmap.size() < sizeof size) fail(ErrorKind::input, "expected the size of a trie, found the end");
  std::memcpy(&size, charsmap.data(), sizeof size);
  charsmap.remove_prefix(sizeof size);
  if (size == 0) fail(ErrorKind::input, "expected a trie, found none");
  if (size > charsmap.size() || size % sizeof(Unit) != 0) {
    fail(ErrorKind::input, "expected a trie of ", size, " bytes, found ", charsmap.size());
  }
  if (size > kLargestTrie) {
    fail(ErrorKind::input, "expected a trie of at most ", human_bytes(kLargestTrie), ", found ",
         human_bytes(size));
  }
  TrieCheck check(charsmap.substr(0, size), charsmap.substr(size));
  check.run();
  return check.longest_replacement();
}

}  // namespace mquant
