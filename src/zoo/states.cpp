#include "zoo/states.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mquant/error.h"

namespace mquant {
namespace {

using enum StageState;

constexpr std::array<std::pair<StageState, std::string_view>, 8> kWords = {{{waiting, "waiting"},
                                                                            {running, "running"},
                                                                            {passed, "passed"},
                                                                            {kept, "kept"},
                                                                            {failed, "failed"},
                                                                            {error, "error"},
                                                                            {interrupted, "interrupted"},
                                                                            {blocked, "blocked"}}};

/// The gravest first.
constexpr std::array kOrder = {error, failed, interrupted, running, waiting, passed, kept};

}  // namespace

std::string_view state_name(StageState state) {
  if (state == waiting || state == blocked) return "not run";
  if (state == kept) return "unchanged";
  return std::ranges::find(kWords, state, &std::pair<StageState, std::string_view>::first)->second;
}

bool is_done(StageState state) { return state == passed || state == kept; }

std::string zoo::state_word(StageState state) {
  return std::string(
      std::ranges::find(kWords, state, &std::pair<StageState, std::string_view>::first)->second);
}

StageState zoo::state_of_word(const std::string& word) {
  const auto found = std::ranges::find(kWords, word, &std::pair<StageState, std::string_view>::second);
  if (found == kWords.end()) fail(ErrorKind::input, "'", word, "' is not a state of a stage");
  return found->first;
}

const ZooStage* ZooJob::first_in(StageState state) const {
  const auto found = std::ranges::find(stages, state, &ZooStage::state);
  return found == stages.end() ? nullptr : &*found;
}

const ZooStage* ZooJob::troubled() const {
  for (const StageState state : {error, failed, interrupted})
    if (const ZooStage* const stage = first_in(state)) return stage;
  return nullptr;
}

const ZooStage& ZooJob::stage(const std::string& of_name) const {
  const auto found = std::ranges::find(stages, of_name, &ZooStage::name);
  require(found != stages.end(), "job '", name, "' has no stage '", of_name, "'");
  return *found;
}

ZooStage& ZooJob::stage(const std::string& of_name) {
  return const_cast<ZooStage&>(std::as_const(*this).stage(of_name));
}

StageState ZooJob::state() const {
  for (const StageState state : kOrder)
    if (first_in(state) != nullptr) return state;
  return waiting;
}

bool ZooReport::passed() const {
  return problems.empty() && std::ranges::all_of(jobs, [](const ZooJob& job) {
           return std::ranges::all_of(job.stages, [](const ZooStage& stage) { return is_done(stage.state); });
         });
}

int ZooReport::problem_code() const {
  int gravest = 0;
  for (const ZooProblem& problem : problems) gravest = std::max(gravest, static_cast<int>(problem.kind));
  return gravest;
}

}  // namespace mquant
