// Short vectors by the compiler's extension: 32 bytes unless told, whatever the instructions are.  Lanes never mix unless
// shuffled, so the same bits come out whether they become one AVX register, two of SSE, or scalars.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mquant {

template <class T, std::size_t Bytes = 32>
struct VectorOf {
  static constexpr std::size_t bytes = Bytes;
  static constexpr int lanes = static_cast<int>(Bytes / sizeof(T));
  typedef T type __attribute__((vector_size(Bytes)));
  typedef T unaligned __attribute__((vector_size(Bytes), aligned(alignof(T)), may_alias));
};
template <class T, std::size_t Bytes = 32>
using Vector = typename VectorOf<T, Bytes>::type;

template <class T, std::size_t Bytes = 32>
[[gnu::always_inline]] inline Vector<T, Bytes> load(const T* x) {
  return *reinterpret_cast<const typename VectorOf<T, Bytes>::unaligned*>(x);
}

template <class T, std::size_t Bytes = 32>
[[gnu::always_inline]] inline void store(T* x, const Vector<T, Bytes>& v) {
  *reinterpret_cast<typename VectorOf<T, Bytes>::unaligned*>(x) = v;
}

}  // namespace mquant
