// The float baselines: the model that an artifact stands for, through libtorch, in float32 and bfloat16.
//
// A float model need not fit into memory: blocks are made, timed and dropped one after the other, and the times of a
// repetition are summed over the blocks.  How it is kept fair:
//   - only ATen operators compute: at::linear, layer_norm, rms_norm, silu, gelu, scaled_dot_product_attention, index
//     operations; rows of all sequences share one product.  Nothing is quantized or rotated.
//   - weights are in memory, in their dtype, before the clock runs: making them is not counted; nor are rotary angles
//     and masks, which a model makes once for a prompt, not once for a block.
//   - repetitions of the types take turns.
//   - a decode step reads its weights from memory, as in a whole model: a block that might stay in the caches from one
//     step to the next meets other things in between.
//   - decoding goes step by step with keys and values in a cache, the head sees one row of each sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bench/float_attention.h"
#include "bench/machine.h"
#include "mquant/bench.h"
#include "mquant/block.h"

namespace mquant {

/// What to run.
struct FloatPlan {
  const Features* prompt = nullptr;           // of one sequence
  std::int64_t batch = 1, decode_tokens = 0;  // steps
  std::int64_t vocabulary = 0;
  bool from_memory =
      true;  // false: do not fill the caches between the steps of a small block; for tests of results
};

/// How one type is to be measured.
struct FloatTrack {
  at::ScalarType dtype{};
  std::int64_t prefills = 0,
               decodes = 0;  // repetitions.  Without a prefill, the prompt's keys are the first track's.
};

class FloatWalk {
 public:
  FloatWalk(const FloatPlan& plan, const std::vector<FloatTrack>& tracks);

  /// Runs the next block of the model in every track.  @param block  float32
  void run(const Block& block);

  /// Seconds of each repetition so far.
  const std::vector<PassSeconds>& prefills(std::size_t track) const { return runs_.at(track).prefills; }
  const std::vector<PassSeconds>& decodes(std::size_t track) const { return runs_.at(track).decodes; }
  /// After the head: logits [batch, vocabulary] of the prompt's last token.
  const at::Tensor& logits(std::size_t track) const;
  /// The same of the decode steps.
  at::Tensor decoded_logits(std::size_t track, std::int64_t step) const;

 private:
  struct Run {
    FloatTrack track;
    SampleState prompt;              // at the next block's input
    std::vector<SampleState> steps;  // one a token to decode
    std::vector<PassSeconds> prefills, decodes;
  };

  /// One block in one track.
  struct Work {
    Run* run = nullptr;
    Block block;
    FloatCache cache;  // undefined where there is none
    FloatAttention prompt_attention;
    std::vector<FloatAttention> step_attention;
  };

  Work work_of(Run& run, const Block& block) const;
  void prefill(Work& work, std::int64_t repetition) const;
  void decode(Work& work, std::int64_t repetition, bool flush) const;

  FloatPlan plan_;
  Features prompt_;              // merged
  std::vector<Features> steps_;  // merged
  std::vector<Run> runs_;
  CacheFlush flush_;
};

}  // namespace mquant
