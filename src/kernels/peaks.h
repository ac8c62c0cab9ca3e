// Loops that do nothing but what a processor's peak is made of: the yardsticks of benchmarks.
//
// Operands and sums stay in registers, and sums do not wait for each other: no kernel that has to
// load its operands can be faster.  Two operations a multiply-add.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/cpu.h"

namespace mquant {

struct PeakLoop {
  std::string instructions;             ///< "vpmaddubsw + vpaddw"
  std::int64_t operations_a_round = 0;  ///< multiplications and additions
  void (*run)(std::int64_t rounds) = nullptr;
};

/// Products of bytes added up, by the instructions that a product of int8 and int4 codes can use
/// at `level`: AVX2 multiplies bytes and adds pairs in 16 bits, AVX-512 VNNI adds groups of four
/// to 32 bits; `portable` multiplies in 16 bits.
PeakLoop integer_peak_loop(CpuLevel level);

/// float32: by separate multiplications and additions; and by fused ones, as attention, GPTQ and
/// libtorch do, where `level` has them.
std::vector<PeakLoop> float32_peak_loops(CpuLevel level);

/// Reads every byte once, in order, and returns their sum modulo 2^32 by words.  For the rate of
/// reading memory.
std::uint32_t read_words(std::span<const std::uint32_t> words);

}  // namespace mquant
