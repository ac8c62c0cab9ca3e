// Samples made up by tests, and goldens' model directories with changes.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "mquant/chat_template.h"
#include "mquant/error.h"
#include "mquant/sample.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/families/golden.h"

namespace mquant::test {

/// A golden's model directory without its weights, to be edited.  All throw std::runtime_error for an absent file.
class Model {
 public:
  explicit Model(std::string family);

  Model& edit(const std::string& file, const std::function<void(nlohmann::json&)>& change);
  Model& remove(const std::string& file);
  std::filesystem::path operator/(const std::string& file) const { return folder_ / file; }

  std::unique_ptr<Processor> processor(const ChatTemplate& stated = {}) const;
  Features features(const Sample& sample) const { return processor()->features(sample, WithAnswer::no); }

 private:
  std::string family_;
  TempDir folder_;
};

ContentPart text(std::string content);
/// A file of goldens/internvl2/images, written "images/<name>".
ContentPart picture(const std::string& name);
/// One user's turn.
Sample asked(std::vector<ContentPart> content);

/// How many tokens each picture has.
std::vector<std::int64_t> tokens_of_pictures(const Features& features);

/// What an Error{kind} from `work` says; "no error" if there is none.
std::string complaint(ErrorKind kind, const std::function<void()>& work);

}  // namespace mquant::test
