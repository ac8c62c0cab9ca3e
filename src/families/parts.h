// What several families say in the same words: lookups with the official defaults, common blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "families/processors.h"
#include "mquant/config.h"
#include "mquant/model.h"

namespace mquant {

/// "text_config." where config.json is nested, "" where it is flat.
std::string text(const Config& config);

/// a / b.  Throws Error{input} unless b divides a.
std::int64_t exact_ratio(const Config& config, const std::string& a, const std::string& b);
double inverse_sqrt(std::int64_t n);

/// The config's name of an activation, as transformers spells it.  Throws Error{unsupported} for others.
Activation activation(const Config& config, const std::string& path, std::string_view otherwise);

/// rope_theta, at its old place or in rope_parameters.
double rope_base(const Config& config, const std::string& prefix, double otherwise);
/// rope_scaling.mrope_section; must sum to dim / 2.
std::vector<std::int64_t> mrope_sections(const Config& config, const std::string& prefix, std::int64_t dim);
/// Throws Error{unsupported} where `use_sliding_window` is set: the computation would silently differ.
void require_no_sliding_window(const Config& config, const std::string& prefix);

/// input_layernorm, self_attn.{q,k,v,o}_proj, post_attention_layernorm, mlp.{gate,up,down}_proj.
LayerNames llama_names();

struct MergerShape {
  std::int64_t width = 0, rows = 0, out = 0;  // of the tower; patches in one row; of the decoder
  double eps = 1e-6;
  Activation activation = Activation::gelu;
};
/// visual = fc2(act(fc1(`rows` patches in one row of norm(x)))).
BlockSpec norm_merge_mlp(const std::string& norm, const std::string& fc1, const std::string& fc2,
                         const MergerShape& shape);

}  // namespace mquant
