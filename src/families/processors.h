// What stands between a chat sample and each family's model.
#pragma once

#include <filesystem>
#include <memory>

#include "mquant/chat_template.h"
#include "mquant/config.h"
#include "mquant/sample.h"

namespace mquant {

/// Each reads the tokenizer and processor files of `directory`, a release; `config` is its config.json, `stated`
/// a template that replaces its own.
/// @throws Error{input}        for a file that is absent or broken, or that contradicts another
///         Error{unsupported}  for a setting that would change the pictures and is not known here,
///                             or a stated template where code writes the prompts
std::unique_ptr<Processor> make_qwen_processor(const std::filesystem::path& directory, const Config& config,
                                               const ChatTemplate& stated);  ///< Qwen2-VL
std::unique_ptr<Processor> make_qwen2_5_vl_processor(const std::filesystem::path& directory,
                                                     const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_qwen3_vl_processor(const std::filesystem::path& directory,
                                                   const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_internvl_hf_processor(const std::filesystem::path& directory,
                                                      const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_llava_processor(const std::filesystem::path& directory, const Config& config,
                                                const ChatTemplate& stated);
std::unique_ptr<Processor> make_minicpm_v_processor(const std::filesystem::path& directory,
                                                    const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_qwen_vl_processor(const std::filesystem::path& directory,
                                                  const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_glm4v_processor(const std::filesystem::path& directory, const Config& config,
                                                const ChatTemplate& stated);
std::unique_ptr<Processor> make_cogvlm2_processor(const std::filesystem::path& directory,
                                                  const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_smolvlm_processor(const std::filesystem::path& directory,
                                                  const Config& config, const ChatTemplate& stated);
std::unique_ptr<Processor> make_gemma3_processor(const std::filesystem::path& directory, const Config& config,
                                                 const ChatTemplate& stated);
std::unique_ptr<Processor> make_internvl2_processor(const std::filesystem::path& directory,
                                                    const Config& config, const ChatTemplate& stated);

}  // namespace mquant
