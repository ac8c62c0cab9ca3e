// A few samples through the float model beside the quantized one: what a run tells about its own
// result.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"
#include "mquant/compile.h"
#include "pipeline/pixels.h"
#include "pipeline/state_store.h"

namespace mquant {

/// KL in nats, mean over the tokens of a class, above which an artifact does not answer like its
/// model.
inline constexpr double kSelfCheckBound = 0.2;

/// What `calibrate` says of its own result: a few samples of the calibration, through the float
/// model and the quantized one.  The samples are ones that scales and codes were chosen on:
/// evaluate with others before you publish numbers.
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

/// Walks the blocks with the calibration: each is run in float as it was loaded, and compared as
/// it was compiled, so that the model is read once.
class SelfCheck {
 public:
  struct Settings {
    std::uint64_t seed = 0;  // of rotations
    std::int64_t count =
        0;  // of samples, chosen by representatives(); at most one in eight, 0: nothing is done
    bool propagates =
        true;  // the calibration's own samples see the quantized blocks: they need not run again
  };
  /// @param pixels  of `features`, which may be without
  SelfCheck(const ModelSpec& model, const std::vector<Sample>& samples, const std::vector<Features>& features,
            const PixelSource& pixels, const Settings& settings);

  bool is_on() const { return !float_states_.empty(); }
  /// @param loaded  as load_block made it, before any pass, in any type; of the head, rows of it
  ///                at a time, in order
  /// @param states  of the calibration, at the block's input
  void run_float(const Block& loaded, const StateStore& states);
  /// The same rows of the head, final.
  void run_head(const Block& calibrated);
  /// @param calibrated  the same block, final
  /// @param states      of the calibration, at its output; not looked at after the last block
  /// @returns figures for StoredBlock::self_check: "error_CLASS", the mean over rows of |q - f|^2
  ///   / |f|^2 of the output; of the head "kl_CLASS" and "top1_CLASS" (means), "tokens_CLASS", and
  ///   of the answers "answer_tokens", "float_nll", "quantized_nll" (sums, nats)
  std::map<std::string, double> compare(const Block& calibrated, const StateStore& states);
  /// Calls `reorder` for every state that is held here, once the embeddings are merged.
  void reorder(const std::function<void(SampleState&)>& reorder);

  /// The states as they are now, for `restore`.
  void remember() { remembered_ = {float_states_, quantized_states_}; }
  void restore() { std::tie(float_states_, quantized_states_) = std::move(remembered_); }

  /// The states between two blocks that a resumed run needs, by name: "float", and "quantized"
  /// where they are its own.
  std::map<std::string, std::vector<SampleState>*> states();

 private:
  void take_from(const StateStore& states);
  std::map<std::string, double> compare_outputs(const Block& compiled) const;
  void begin_head(const StateStore& states);
  std::map<std::string, double> compare_logits();

  const ModelSpec& model_;
  Settings settings_;
  std::vector<std::size_t> chosen_;  // of the calibration's samples
  std::vector<const Features*> samples_;
  std::vector<SampleState> float_states_, quantized_states_;
  std::pair<std::vector<SampleState>, std::vector<SampleState>> remembered_;
  /// Of the head, by sample: the tokens that are compared, and their logits, rows of the head by
  /// rows.
  std::vector<std::vector<std::int64_t>> tokens_;
  std::vector<std::vector<at::Tensor>> float_logits_, logits_;
};

/// The summary of all blocks' figures, by name of the block in order of execution.
SelfCheckReport self_check_report(
    const std::vector<std::pair<std::string, std::map<std::string, double>>>& blocks);

}  // namespace mquant
