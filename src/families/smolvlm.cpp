// SmolVLM and SmolVLM2 (256M, 500M, 2.2B): SigLIP, pixel shuffle, one linear, Llama.  Idefics3's code under two names.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"

namespace mquant {
namespace {

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = "text_config.";
  if (const std::string type = c.string_or(t + "model_type", "llama"); type != "llama")
    fail(ErrorKind::unsupported, c.origin(), ": 'text_config.model_type' is '", type, "'; known is llama");
  model.decoder_width = c.positive(t + "hidden_size");
  model.vocabulary = c.positive(t + "vocab_size");
  add_siglip_tower(model, c, "model.vision_model.",
                   {.width = 1152,
                    .mlp_width = 3072,
                    .heads = 16,
                    .layers = 12,
                    .patch = 32,
                    .image = 224,
                    .lookup = Lookup::buckets});
  model.blocks.push_back(
      projector_block("projector", "visual",
                      {"model.vision_model.post_layernorm", "model.connector.modality_projection.proj", ""},
                      {.width = model.vision_width,
                       .out = model.decoder_width,
                       .merge = Merge::grid,
                       .side = c.positive_or("scale_factor", 2),
                       .eps = c.positive_number_or("vision_config.layer_norm_eps", 1e-6),
                       .bias = false}));
  add_decoder(model, "model.text_model.", {.tied = ties_embeddings(c)}, llama_shape(c, t, {}),
              layer_count(c, t + "num_hidden_layers"));
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family smolvlm = {
    .name = "smolvlm",
    .summary = "SmolVLM and SmolVLM2 256M, 500M, 2.2B Instruct",
    .model_types = {"idefics3", "smolvlm"},
    .tower =
        "SigLIP: LayerNorm, learned positions; square tiles and a view of the whole; 3 x 3 or 4 x 4 patches "
        "in a token",
    .prompt =
        "User: and Assistant:, no default system message; a picture stands where the sample has it, its "
        "tiles named by row and column",
    .visual_tokens = "one for each square of patches of a tile: <image>",
    .recognises = [](const Config& c) { return c.model_type() == "idefics3" || c.model_type() == "smolvlm"; },
    .add_blocks = add_blocks,
    .make_processor = make_smolvlm_processor};

}  // namespace mquant
