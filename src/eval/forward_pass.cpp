// The forward pass over the blocks of a loaded model.
#include <algorithm>

#include "eval/loaded_model.h"
#include "mquant/error.h"

namespace mquant {
namespace {

bool is_head(const BlockSpec& spec) { return spec.name == "head"; }

bool caches_keys(const BlockSpec& spec, const Sequence& sequence) {
  return spec.has_kv_cache() && sequence.caches != nullptr && !sequence.caches->empty();
}

at::Tensor wanted_rows(const at::Tensor& x, LogitRows rows) {
  return rows == LogitRows::last ? x.narrow(0, x.size(0) - 1, 1) : x;
}

std::vector<SampleState> started(std::span<const Sequence> sequences) {
  std::vector<SampleState> states;
  for (const Sequence& sequence : sequences) {
    states.push_back(start(*sequence.features, at::kFloat));
    states.back().past = sequence.past;
  }
  return states;
}

/// What the head has to know of some tokens: their classes.
Features some_tokens(const Features& all, std::int64_t begin, std::int64_t count) {
  Features some;
  some.input_ids.assign(all.input_ids.begin() + begin, all.input_ids.begin() + begin + count);
  some.token_class.assign(all.token_class.begin() + begin, all.token_class.begin() + begin + count);
  return some;
}

}  // namespace

SampleState LoadedModel::run_plain(const Sequence& sequence, const AfterBlock& after) const {
  SampleState state = std::move(started({&sequence, 1}).front());
  std::size_t layer = 0;
  for (const Block& block : plain_) {
    const BlockSpec& spec = block.spec();
    if (is_head(spec) || !takes_part(spec, *sequence.features)) continue;
    KvCache own;  // of this block alone: its keys and values become codes without caches too
    state.cache = nullptr;
    if (caches_keys(spec, sequence)) {
      state.cache = &sequence.caches->at(layer++);
    } else if (spec.has_kv_cache() && int8_cache_) {
      own = make_cache(block, std::ssize(sequence.features->input_ids));
      state.cache = &own;
    }
    run_block(block, state);
    state.cache = nullptr;
    if (spec.name == "embed" && order_tokens) mquant::order_tokens(state);
    if (after) after(spec, state);
  }
  restore_order(state);
  return state;
}

Batch LoadedModel::run_fast(std::span<const Sequence> sequences, const AfterBlock& after) const {
  Batch batch(started(sequences));
  const auto on_x = [&](const std::function<void(SampleState&)>& work) {
    batch.each({"x"}, "x", {}, [&](SampleState& state) {
      work(state);
      return state.registers.at("x");
    });
  };
  std::size_t layer = 0;
  for (const PreparedBlock& block : fast_) {
    const BlockSpec& spec = block.spec();
    const auto runs = [&](const Sequence& s) { return takes_part(spec, *s.features); };
    if (is_head(spec) || std::ranges::none_of(sequences, runs)) continue;
    std::vector<KvCache> own(sequences.size());  // see run_plain
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      KvCache*& cache = batch.samples()[i].cache;
      cache = nullptr;
      if (caches_keys(spec, sequences[i])) {
        cache = &sequences[i].caches->at(layer);
      } else if (spec.has_kv_cache() && int8_cache_) {
        own[i] = make_cache(block.block(), std::ssize(sequences[i].features->input_ids));
        cache = &own[i];
      }
    }
    if (spec.has_kv_cache()) ++layer;
    block.run(batch, mode);
    if (spec.name == "embed" && order_tokens) on_x(mquant::order_tokens);
    if (!after) continue;
    for (std::size_t i = 0; i < sequences.size(); ++i)
      if (runs(sequences[i])) after(spec, batch.state(i));
  }
  on_x(restore_order);
  return batch;
}

std::vector<at::Tensor> LoadedModel::logits(std::span<const Sequence> sequences, LogitRows rows,
                                            const AfterBlock& after) const {
  std::vector<at::Tensor> logits;
  if (!plain_.empty()) {
    for (const Sequence& sequence : sequences) {
      SampleState state = run_plain(sequence, after);
      at::Tensor& x = state.registers.at("x");
      x = wanted_rows(x, rows);
      run_block(plain_.back(), state);
      logits.push_back(state.registers.at("logits"));
    }
    return logits;
  }
  Batch batch = run_fast(sequences, after);
  batch.each({"x"}, "x", {}, [&](SampleState& state) { return wanted_rows(state.registers.at("x"), rows); });
  fast_.back().run(batch, mode);
  for (std::size_t i = 0; i < sequences.size(); ++i) logits.push_back(batch.get("logits").of(i));
  return logits;
}

at::Tensor LoadedModel::logits(const Features& features, std::vector<KvCache>& caches, std::int64_t past,
                               LogitRows rows, const AfterBlock& after) const {
  const Sequence sequence{&features, &caches, past};
  return logits({&sequence, 1}, rows, after).front();
}

at::Tensor LoadedModel::hidden(const Features& features, std::vector<KvCache>& caches) const {
  const Sequence sequence{&features, &caches, 0};
  return plain_.empty() ? run_fast({&sequence, 1}, {}).get("x").of(0)
                        : run_plain(sequence, {}).registers.at("x");
}

at::Tensor LoadedModel::head(const Features& features, const at::Tensor& hidden, std::int64_t begin,
                             std::int64_t count) const {
  const Features tokens = some_tokens(features, begin, count);
  SampleState state;
  state.features = &tokens;
  state.registers["x"] = hidden.narrow(0, begin, count);
  if (!plain_.empty()) {
    run_block(plain_.back(), state);
    return state.registers.at("logits");
  }
  std::vector<SampleState> states;
  states.push_back(std::move(state));
  Batch batch(std::move(states));
  fast_.back().run(batch, mode);
  return batch.get("logits").of(0);
}

}  // namespace mquant
