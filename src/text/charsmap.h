// The compiled rules by which SentencePiece normalizes text.
#pragma once

#include <cstddef>
#include <string_view>

namespace mquant {

/// Checks what libsentencepiece takes on trust: it follows the trie without a look at its size, keeps room for 32 rules
/// that match at one place, and reads each replacement up to the next zero byte.
///
/// @param charsmap  u32 size of the trie in bytes, the trie (a double array of darts-clone), replacements that end in
///                  0; little-endian
/// @return          the length of the longest replacement in bytes
/// @throws Error{input} if following the rules could leave the trie or the replacements; if a trie, a replacement or
///                  the number of rules at one place is larger than any real one.
/// Cost             256 steps for each unit of the trie.
std::size_t check_charsmap(std::string_view charsmap);

}  // namespace mquant
