// Short vectors by the compiler's extension: 32 bytes, whatever the instructions are.  Lanes never mix unless shuffled,
// so the same bits come out whether they become one AVX register, two of SSE, or scalars.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mquant {

template <class T>
struct VectorOf {
  static constexpr std::size_t bytes = 32;
  static constexpr int lanes = static_cast<int>(bytes / sizeof(T));
  typedef T type __attribute__((vector_size(32)));
  typedef T unaligned __attribute__((vector_size(32), aligned(alignof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
[[gnu::always_inline]] inline Vector<T> load(const T* x) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(x);
}

template <class T>
[[gnu::always_inline]] inline void store(T* x, const Vector<T>& v) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(x) = v;
}

}  // namespace mquant
