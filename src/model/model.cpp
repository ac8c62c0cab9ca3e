// Questions that a description answers: which linears share an input, which rows of a fused tensor are whose.
#include "mquant/model.h"

#include <algorithm>
#include <map>

#include "mquant/error.h"

namespace mquant {
namespace {

/// Appends rows [begin, begin + count).
void append_run(std::vector<std::int64_t>& rows, std::int64_t begin, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(begin + i);
}

/// Slot of a part among `queries` query slots, then k, then v.
std::pair<std::int64_t, std::int64_t> slots(Part part, std::int64_t queries) {
  if (part == Part::q) return {0, queries};
  return {part == Part::k ? queries : queries + 1, 1};
}

/// Rows laid out as [unit][q .. q, k, v][dim].
std::vector<std::int64_t> interleaved(Part part, std::int64_t units, std::int64_t queries, std::int64_t dim) {
  std::vector<std::int64_t> rows;
  const auto [first, count] = slots(part, queries);
  for (std::int64_t unit = 0; unit < units; ++unit)
    append_run(rows, (unit * (queries + 2) + first) * dim, count * dim);
  return rows;
}

std::vector<std::int64_t> chunk(Part part, const AttentionSpec& a, std::int64_t rows) {
  const std::int64_t q = a.heads * a.head_dim, kv = a.kv_heads * a.head_dim;
  std::vector<std::int64_t> out;
  switch (part) {
    case Part::q: append_run(out, 0, q); break;
    case Part::k: append_run(out, q, kv); break;
    case Part::v: append_run(out, q + kv, kv); break;
    case Part::gate: append_run(out, 0, rows / 2); break;
    case Part::up: append_run(out, rows / 2, rows / 2); break;
    case Part::whole: append_run(out, 0, rows); break;
  }
  return out;
}

}  // namespace

std::string_view space_name(Space space) {
  switch (space) {
    case Space::none: return "none";
    case Space::vision: return "vision";
    case Space::decoder: return "decoder";
    case Space::value: return "value";
    case Space::hidden: return "hidden";
    case Space::kv: return "kv";
    case Space::resampled: return "resampled";
  }
  return "none";
}

std::string_view tower_name(Tower tower) {
  switch (tower) {
    case Tower::vision: return "vision";
    case Tower::projector: return "projector";
    case Tower::decoder: return "decoder";
  }
  return "decoder";
}

const LinearSpec& BlockSpec::linear(std::string_view wanted) const {
  for (const LinearSpec& linear : linears)
    if (linear.name == wanted) return linear;
  fail(ErrorKind::internal, "block '", name, "' has no linear '", wanted, "'");
}

const NormSpec& BlockSpec::norm(std::string_view wanted) const {
  for (const NormSpec& norm : norms)
    if (norm.name == wanted) return norm;
  fail(ErrorKind::internal, "block '", name, "' has no norm '", wanted, "'");
}

bool BlockSpec::writes(std::string_view wanted) const {
  return std::ranges::any_of(steps, [&](const Step& step) { return step.out == wanted; });
}

std::size_t BlockSpec::attention_step() const {
  const auto found = std::ranges::find(steps, Op::attention, &Step::op);
  return static_cast<std::size_t>(found - steps.begin());
}

std::vector<LinearGroup> linear_groups(const BlockSpec& block) {
  std::vector<LinearGroup> groups;
  std::map<std::string, std::size_t> open;  // register -> its group, until the register is written again
  for (std::size_t i = 0; i < block.steps.size(); ++i) {
    const Step& step = block.steps[i];
    if (step.op == Op::linear && !block.linear(step.name).stays_float) {
      const auto [found, is_new] = open.try_emplace(step.in.at(0), groups.size());
      if (is_new) groups.push_back({{}, step.in[0], i});
      groups[found->second].linears.push_back(step.name);
    }
    open.erase(step.out);
  }
  return groups;
}

std::vector<std::int64_t> fused_rows(const Source& source, const AttentionSpec& a, std::int64_t rows) {
  switch (source.fused) {
    case Fused::none: return chunk(Part::whole, a, rows);
    case Fused::chunks: return chunk(source.part, a, rows);
    case Fused::per_head: return interleaved(source.part, a.heads, 1, a.head_dim);
    case Fused::per_group: return interleaved(source.part, a.kv_heads, a.heads / a.kv_heads, a.head_dim);
  }
  return {};
}

std::string resolve(const std::string& name, const ModelSpec& model,
                    const std::function<bool(const std::string&)>& exists) {
  if (exists(name)) return name;
  for (const auto& [described, found] : model.renames) {
    if (!name.starts_with(described)) continue;
    const std::string candidate = found + name.substr(described.size());
    if (exists(candidate)) return candidate;
  }
  return name;
}

}  // namespace mquant
