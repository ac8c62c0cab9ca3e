#include "runtime/row_program.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "mquant/error.h"

namespace mquant {
namespace {

bool is_row_wise(const Step& step, const std::set<std::string, std::less<>>& by_codes) {
  switch (step.op) {
    case Op::linear: return by_codes.contains(step.name);
    case Op::norm:
    case Op::activation:
    case Op::multiply:
    case Op::add:
    case Op::scale: return true;
    default: return false;
  }
}

/// Which registers, as written by one step each, have rows of the same set.  Index 0 .. steps - 1: what a step wrote;
/// from there on: registers that enter the block.
class RowSets {
 public:
  explicit RowSets(const BlockSpec& spec) : spec_(spec) {
    std::map<std::string, std::size_t, std::less<>> written;
    parent_.resize(spec.steps.size());
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
    for (std::size_t i = 0; i < spec.steps.size(); ++i) {
      const Step& step = spec.steps[i];
      std::vector<std::size_t> in;
      for (const std::string& name : step.in) {
        const auto [it, added] = written.try_emplace(name, parent_.size());
        if (added) parent_.push_back(parent_.size());
        in.push_back(it->second);
      }
      if (keeps_rows(step.op) && !in.empty()) unite(i, in[0]);
      if (step.op == Op::add || step.op == Op::multiply) unite(i, in[1]);
      written[step.out] = i;
    }
  }

  bool same(std::size_t a, std::size_t b) { return root(a) == root(b); }

 private:
  static bool keeps_rows(Op op) {
    switch (op) {
      case Op::linear:
      case Op::norm:
      case Op::activation:
      case Op::multiply:
      case Op::add:
      case Op::scale:
      case Op::attention:  // as many as it has queries
      case Op::place_visual:
      case Op::add_visual: return true;
      default: return false;
    }
  }

  std::size_t root(std::size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void unite(std::size_t a, std::size_t b) { parent_[root(a)] = root(b); }

  const BlockSpec& spec_;
  std::vector<std::size_t> parent_;
};

/// Builds one program.  Every step that writes a register makes a new slot, so that old and new never mix; an operation
/// goes into the first phase in which its inputs exist.
class Compiler {
 public:
  Compiler(const Block& block, const PreparedLinears& linears, const StepRange& range)
      : block_(block), spec_(block.spec()), linears_(linears), range_(range) {}

  RowProgram compile() {
    for (std::size_t i = range_.begin; i < range_.end; ++i) {
      const Step& step = spec_.steps[i];
      if (step.op == Op::linear)
        add_linear(step);
      else
        add_row_op(step);
    }
    for (const auto& [name, slot] : current_) {
      Slot& s = program_.slots[slot];
      s.output = !s.input && is_read_after(name);
    }
    settle_widths();
    settle_places();
    return std::move(program_);
  }

 private:
  struct Use {
    std::size_t phase = 0;      // from which on the slot exists
    bool by_product = false;    // a product writes it
    bool by_phase_only = true;  // all that touches it stands in that phase's rows
  };

  std::size_t input_slot(const std::string& name) {
    const auto it = current_.find(name);
    if (it != current_.end()) return it->second;
    const std::size_t slot = new_slot(name, 0, false);
    program_.slots[slot].input = true;
    return slot;
  }

  std::size_t new_slot(const std::string& name, std::size_t phase, bool by_product) {
    program_.slots.push_back({.name = name});
    uses_.push_back({phase, by_product, !by_product});
    return current_[name] = program_.slots.size() - 1;
  }

  /// First phase whose rows may read the slot.
  std::size_t readable_from(std::size_t slot) const {
    return uses_[slot].phase + (uses_[slot].by_product ? 1 : 0);
  }
  void read_in(std::size_t slot, std::size_t phase) {
    if (uses_[slot].phase != phase) uses_[slot].by_phase_only = false;
  }
  Phase& phase(std::size_t i) {
    if (program_.phases.size() <= i) program_.phases.resize(i + 1);
    return program_.phases[i];
  }

  void add_row_op(const Step& step) {
    RowOp op;
    op.in = input_slot(step.in[0]);
    std::size_t at = readable_from(op.in);
    switch (step.op) {
      case Op::norm:
        op.kind = RowOp::Kind::norm;
        op.norm = &block_.norm(step.name);
        op.norm_width = spec_.norm(step.name).width;
        break;
      case Op::activation:
        op.kind = RowOp::Kind::activation;
        op.activation = step.activation;
        break;
      case Op::scale:
        op.kind = RowOp::Kind::scale;
        op.factor = static_cast<float>(step.factor);
        break;
      default:
        op.kind = step.op == Op::add ? RowOp::Kind::add : RowOp::Kind::multiply;
        op.in2 = input_slot(step.in[1]);
        at = std::max(at, readable_from(op.in2));
        read_in(op.in2, at);
        same_width_.emplace_back(op.in, op.in2);
    }
    read_in(op.in, at);
    op.out = new_slot(step.out, at, false);
    same_width_.emplace_back(op.in, op.out);
    phase(at).rows.push_back(op);
  }

  void add_linear(const Step& step) {
    const PreparedLinear& linear = linears_.find(step.name)->second;
    const std::size_t in = input_slot(step.in[0]);
    program_.slots[in].width = linear.in();
    const auto [codes, at] = codes_of(in, linear);
    const std::size_t out = new_slot(step.out, at, true);
    program_.slots[out].width = linear.out();
    phase(at).linears.push_back({&linear, codes, out});
  }

  /// The code buffer that holds slot `in` in the form that `linear` wants, and the phase that fills it.
  std::pair<std::size_t, std::size_t> codes_of(std::size_t in, const PreparedLinear& linear) {
    for (std::size_t c = 0; c < program_.codes.size(); ++c)
      if (code_source_[c].first == in && program_.codes[c].rows == linear.rows() &&
          program_.codes[c].form == linear.input_form())
        return {c, code_source_[c].second};
    const std::size_t at = readable_from(in);
    read_in(in, at);
    CodeBuffer buffer{linear.input_form(), linear.rows(), linear.in(), std::nullopt};
    if (buffer.form.rotation)
      buffer.hadamard = plan_hadamard(buffer.form.rotation.size, buffer.form.rotation.block);
    program_.codes.push_back(std::move(buffer));
    code_source_.emplace_back(in, at);
    RowOp op;
    op.kind = RowOp::Kind::quantize;
    op.in = in;
    op.out = program_.codes.size() - 1;
    phase(at).rows.push_back(op);
    return {op.out, at};
  }

  bool is_read_after(const std::string& name) const {
    for (std::size_t i = range_.end; i < spec_.steps.size(); ++i) {
      if (std::ranges::find(spec_.steps[i].in, name) != spec_.steps[i].in.end()) return true;
      if (spec_.steps[i].out == name) return false;
    }
    return std::ranges::find(spec_.keeps, name) != spec_.keeps.end();
  }

  void settle_widths() {
    for (bool changed = true; changed;) {
      changed = false;
      for (const auto& [a, b] : same_width_) {
        std::int64_t &x = program_.slots[a].width, &y = program_.slots[b].width;
        changed = changed || x != y;
        require(x == 0 || y == 0 || x == y, "block '", spec_.name, "': registers of width ", x, " and ", y,
                " in one step");
        x = y = std::max(x, y);
      }
    }
    for (const Slot& slot : program_.slots)
      require(slot.width > 0, "block '", spec_.name, "': nothing tells the width of register '", slot.name,
              "'");
  }

  void settle_places() {
    for (std::size_t i = 0; i < program_.slots.size(); ++i) {
      Slot& slot = program_.slots[i];
      if (slot.input || slot.output)
        slot.place = Slot::Place::outside;
      else
        slot.place = uses_[i].by_phase_only ? Slot::Place::row : Slot::Place::chunk;
    }
  }

  const Block& block_;
  const BlockSpec& spec_;
  const PreparedLinears& linears_;
  const StepRange& range_;
  RowProgram program_;
  std::vector<Use> uses_;                                         // by slot
  std::vector<std::pair<std::size_t, std::size_t>> code_source_;  // by code buffer: slot, phase
  std::vector<std::pair<std::size_t, std::size_t>> same_width_;   // slots
  std::map<std::string, std::size_t, std::less<>> current_;       // the newest slot of each register
};

/// Does a product stand in the range, so that every width is known?
bool is_worth_it(const BlockSpec& spec, const StepRange& range) {
  std::map<std::string, bool, std::less<>> known;  // by register: is its width?
  const auto steps = std::span(spec.steps).subspan(range.begin, range.end - range.begin);
  for (std::size_t round = 0; round <= steps.size(); ++round)
    for (const Step& step : steps) {
      bool all = step.op == Op::linear;
      for (const std::string& name : step.in) all = all || known[name];
      all = all || known[step.out];
      if (!all) continue;
      known[step.out] = true;
      for (const std::string& name : step.in) known[name] = true;
    }
  return std::ranges::all_of(known, [](const auto& entry) { return entry.second; });
}

}  // namespace

std::vector<StepRange> row_wise_ranges(const BlockSpec& spec, StepRange steps,
                                       const std::set<std::string, std::less<>>& by_codes) {
  RowSets sets(spec);
  std::vector<StepRange> ranges;
  for (std::size_t begin = steps.begin, end = begin; begin < steps.end; begin = std::max(end, begin + 1)) {
    end = begin;
    bool product = false;
    while (end < steps.end && is_row_wise(spec.steps[end], by_codes) && sets.same(begin, end))
      product = spec.steps[end++].op == Op::linear || product;
    if (product && is_worth_it(spec, {begin, end})) ranges.push_back({begin, end});
  }
  return ranges;
}

RowProgram compile_rows(const Block& block, const PreparedLinears& linears, const StepRange& range) {
  return Compiler(block, linears, range).compile();
}

}  // namespace mquant
