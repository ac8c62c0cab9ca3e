#include "pipeline/coverage.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "model/ends.h"
#include "mquant/log.h"
#include "recipe/options.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// Rows that the samples bring, before any merging.
struct Rows {
  std::int64_t text = 0, visual = 0, patches = 0;

  explicit Rows(const std::vector<Features>& features) {
    for (const Features& f : features) {
      const auto seen = std::ranges::count(f.token_class, TokenClass::visual);
      visual += seen;
      text += std::ssize(f.token_class) - seen;
      patches += std::ssize(f.patches);
    }
  }

  std::int64_t of(const BlockSpec& block, TokenClass token_class) const {
    if (block.tower == Tower::vision) return patches;
    return token_class == TokenClass::text ? text : visual;
  }
};

/// Classes of the rows that a linear can meet.  Sinks are tokens of the others, found later.
std::vector<TokenClass> classes_of(const BlockSpec& block, RowSet rows) {
  if (!block.on_tokens || rows == RowSet::visual) return {TokenClass::visual};
  if (rows == RowSet::others) return {TokenClass::text};
  return {TokenClass::text, TokenClass::visual};
}

class CoverageCheck {
 public:
  CoverageCheck(const Recipe& recipe, const std::vector<Features>& features)
      : recipe_(recipe), rows_(features) {}

  void add(const BlockSpec& block) {
    const QuantScheme scheme = recipe_.scheme_of(block.name);
    if (scheme.is_float() || rounds_without_inputs(block, scheme)) return;
    for (const LinearGroup& group : linear_groups(block)) add(block, block.linear(group.linears.front()));
  }

  void tell(Obstacles& obstacles) const {
    for (const auto& [token_class, roles] : unseen_)
      obstacles.add(
          ErrorKind::input, "the samples have no ", token_class_name(token_class), " rows, but recipe ",
          recipe_.name, " quantizes what meets them (",
          join(std::vector<std::string>(roles.begin(), roles.end()), ", "), "); ",
          token_class == TokenClass::visual
              ? "add samples with pictures, or say --set calibration.classes=text,sink for a model that "
                "will see none"
              : "add samples with text");
    if (unseen_.empty() && widest_ > 0)
      warn(cat("few rows to calibrate on: '", narrow_, "' has ", widest_, " inputs and sees ", fewest_,
               " rows; expected at least ", widest_, ": more samples make its rounding better"));
  }

 private:
  void add(const BlockSpec& block, const LinearSpec& linear) {
    std::int64_t sum = 0;
    bool met = false;
    for (const TokenClass token_class : classes_of(block, linear.rows)) {
      if (!recipe_.calibration.classes.contains(token_class)) continue;
      met = true;
      const std::int64_t rows = rows_.of(block, token_class);
      if (rows == 0) unseen_[token_class].insert(block.name.substr(0, block.name.find('.')));
      sum += rows;
    }
    if (!met || sum == 0 || sum >= linear.in) return;
    if (widest_ > 0 && linear.in * fewest_ <= widest_ * sum) return;  // another one lacks more
    narrow_ = cat(block.name, ".", linear.name);
    widest_ = linear.in;
    fewest_ = sum;
  }

  const Recipe& recipe_;
  Rows rows_;
  std::map<TokenClass, std::set<std::string>> unseen_;
  std::string narrow_;
  std::int64_t widest_ = 0, fewest_ = 0;
};

/// What meets no class has no scale for it, so the samples that stand for its use must not have it either.
void refuse_left_out(const Recipe& recipe, const std::vector<Sample>& samples,
                     const std::vector<Features>& features, Obstacles& obstacles) {
  if (recipe.calibration.classes.contains(TokenClass::visual)) return;
  const auto seen = std::ranges::find_if(features, [](const Features& f) { return !f.patches.empty(); });
  if (seen != features.end())
    obstacles.add(ErrorKind::input, "sample '", samples[static_cast<std::size_t>(seen - features.begin())].id,
                  "' has a picture, but calibration.classes, ", text_of(recipe.calibration.classes),
                  ", leaves out visual; leave out such samples, or the setting");
}

}  // namespace

void check_coverage(const Recipe& recipe, const ModelSpec& model, const std::vector<Sample>& samples,
                    const std::vector<Features>& features, Obstacles& obstacles) {
  refuse_left_out(recipe, samples, features, obstacles);
  CoverageCheck check(recipe, features);
  for (const BlockSpec& block : model.blocks) check.add(block);
  check.tell(obstacles);
}

}  // namespace mquant
