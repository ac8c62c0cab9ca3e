// The one loop of byte-pair encoding: merge the pair of least rank, the leftmost of equals, until none is left.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace mquant {

/// One part of a word: a doubly linked list in an array, so that an index keeps its place in the word.
struct Symbol {
  std::int32_t id = 0;
  std::int32_t previous = -1, next = -1;  // index, -1: none
  std::int32_t length = 0;                // in bytes; 0: merged into the symbol before
};

struct Merge {
  std::int32_t rank = 0;
  std::int32_t id = 0;  // of the merged token
};

/// Memory that words share.
struct MergeScratch {
  struct Candidate {
    Merge merge;
    std::int32_t at = 0;  // index of the left symbol
    /// For a heap with the least rank on top.
    bool operator<(const Candidate& other) const {
      return merge.rank != other.merge.rank ? merge.rank > other.merge.rank : at > other.at;
    }
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;

  void add(std::int32_t id, std::int32_t length) {
    const auto index = static_cast<std::int32_t>(symbols.size());
    if (index > 0) symbols.back().next = index;
    symbols.push_back({.id = id, .previous = index - 1, .length = length});
  }
};

/// Merges scratch.symbols in place.  `find(i)`: the merge of symbol i with the one after it, if there is one.
/// Cost: O(n log n) for n symbols.
template <class Find>
void merge_symbols(MergeScratch& scratch, const Find& find) {
  auto& [symbols, heap] = scratch;
  heap.clear();
  const auto consider = [&](std::int32_t at) {
    if (at < 0 || symbols[static_cast<std::size_t>(at)].next < 0) return false;
    const std::optional<Merge> merge = find(static_cast<std::size_t>(at));
    if (merge) heap.push_back({*merge, at});
    return merge.has_value();
  };
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i) consider(i);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const auto [merge, at] = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<std::size_t>(at)];
    if (left.length == 0 || left.next < 0) continue;
    // A neighbour may have changed since; the reference asks for the same result, not for the same pair.
    const std::optional<Merge> now = find(static_cast<std::size_t>(at));
    if (!now || now->id != merge.id) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    left.id = merge.id;
    left.length += right.length;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = at;
    if (consider(left.previous)) std::push_heap(heap.begin(), heap.end());
    if (consider(at)) std::push_heap(heap.begin(), heap.end());
  }
}

}  // namespace mquant
