#include "tests/unit/families/edited_model.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/files.h"

namespace mquant::test {

Model::Model(std::string family) : family_(std::move(family)) {
  for (const auto& entry : std::filesystem::directory_iterator(data_path("goldens/" + family_ + "/model"))) {
    const std::string extension = entry.path().extension().string();
    if (extension != ".safetensors" && extension != ".bin")
      std::filesystem::copy_file(entry.path(), folder_.path() / entry.path().filename());
  }
}

Model& Model::edit(const std::string& file, const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json json = nlohmann::json::parse(read_text(folder_ / file));
  change(json);
  write_text(folder_ / file, json.dump());
  return *this;
}

Model& Model::remove(const std::string& file) {
  if (!std::filesystem::remove(folder_ / file)) throw std::runtime_error("no " + file);
  return *this;
}

std::unique_ptr<Processor> Model::processor(const ChatTemplate& stated) const {
  return tested_family(family_).make(folder_.path(), Config::open(folder_ / "config.json"), stated);
}

ContentPart text(std::string content) { return {.text = std::move(content)}; }
ContentPart picture(const std::string& name) {
  return {.kind = ContentPart::Kind::image,
          .image = data_path("goldens/internvl2/images/" + name),
          .image_as_written = "images/" + name};
}
Sample asked(std::vector<ContentPart> content) {
  return {.id = "s", .messages = {{"user", std::move(content)}}};
}

std::vector<std::int64_t> tokens_of_pictures(const Features& features) {
  std::vector<std::int64_t> counts;
  for (const std::int64_t p : features.picture)
    if (p >= 0) {
      if (p >= std::ssize(counts)) counts.resize(static_cast<std::size_t>(p) + 1);
      ++counts[static_cast<std::size_t>(p)];
    }
  return counts;
}

std::string complaint(ErrorKind kind, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "no error";
}

}  // namespace mquant::test
