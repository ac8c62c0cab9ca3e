// A few samples through the float model beside the quantized one: what a run tells about its own result.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"
#include "mquant/compile.h"

namespace mquant {

/// KL in nats, mean over the tokens of a class, above which an artifact does not answer like its model.
inline constexpr double kSelfCheckBound = 0.2;

/// What `calibrate` says of its own result: a few samples of the calibration, through the float model and the quantized
/// one.  The samples are ones that scales and codes were chosen on: evaluate with others before you publish numbers.
struct SelfCheckReport {
  std::int64_t samples = 0;                       // 0: the check was off
  std::map<std::string, AgreementRow> agreement;  // by token class
  double perplexity = 0, float_perplexity = 0;    // of the answers' tokens
  std::int64_t answer_tokens = 0;
  std::map<std::string, std::map<std::string, double>>
      errors;                            // by block, by class: |q - f|^2 / |f|^2 of its rows
  std::string worst_block, worst_class;  // where that grows most, from and to:
  double error_before = 0, error_after = 0;
};

/// Walks the blocks with the calibration: each is run in float as it was loaded, then as it was compiled, so that the
/// model is read once.
class SelfCheck {
 public:
  /// @param count  of samples, chosen by representatives(); at most one in eight, 0: nothing is done
  SelfCheck(const ModelSpec& model, std::uint64_t seed, const std::vector<Sample>& samples,
            const std::vector<Features>& features, std::int64_t count);

  bool is_on() const { return !float_states_.empty(); }
  /// @param loaded  as load_block made it, before any pass
  void run_float(const Block& loaded);
  /// @param calibrated  the same block, final; run by its codes
  /// @returns figures for StoredBlock::self_check: "error_CLASS", the mean over rows of |q - f|^2 / |f|^2 of the output;
  ///   of the head "kl_CLASS" and "top1_CLASS" (means), "tokens_CLASS", and of the answers "answer_tokens", "float_nll",
  ///   "quantized_nll" (sums, nats)
  std::map<std::string, double> run_quantized(const Block& calibrated);
  /// Calls `reorder` for the states of both models, once the embeddings are merged.
  void reorder(const std::function<void(std::vector<SampleState>&)>& reorder);

  /// The states between two blocks, for saving and loading.
  std::vector<SampleState>& float_states() { return float_states_; }
  std::vector<SampleState>& quantized_states() { return quantized_states_; }

 private:
  std::map<std::string, double> compare_outputs(const Block& compiled) const;
  std::map<std::string, double> compare_logits(const Block& compiled);

  const ModelSpec& model_;
  std::uint64_t seed_;
  std::vector<const Features*> samples_;
  std::vector<SampleState> float_states_, quantized_states_;
  std::optional<Block> float_head_;  // kept until the quantized one is there
};

/// The summary of all blocks' figures, by name of the block in order of execution.
SelfCheckReport self_check_report(
    const std::vector<std::pair<std::string, std::map<std::string, double>>>& blocks);

}  // namespace mquant
