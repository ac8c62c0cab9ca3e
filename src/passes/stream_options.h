// Options of the passes that treat residual streams: for them, and for plans that say what each stream gets.
#pragma once

#include "mquant/options.h"

namespace mquant {

struct FoldNormsOptions {
  enum class Where { rotated, everywhere } where = Where::rotated;

  void bind(OptionBinder& options) {
    options.choice("where", where,
                   "only where `rotate` rotates the stream and so evens out the weights, or everywhere",
                   {{"rotated", Where::rotated}, {"everywhere", Where::everywhere}});
  }
};

struct RotateOptions {
  bool vision = true, decoder = true, value = true;

  void bind(OptionBinder& options) {
    options.flag("vision", vision, "R1 of the vision tower and of a resampler");
    options.flag("decoder", decoder,
                 "R1 of the decoder, embeddings, head and the projector's output included");
    options.flag("value", value, "R2 of every attention: values and output projection, per head");
  }
};

struct RotateOnlineOptions {
  enum class Mode { hadamard, signs } mode = Mode::hadamard;
  bool vision = true, projector = false, decoder = true;  // towers
  bool streams = true;

  void bind(OptionBinder& options) {
    options.choice("mode", mode, "plain matrix, or random signs in front of it",
                   {{"hadamard", Mode::hadamard}, {"signs", Mode::signs}});
    options.flag("vision", vision, "in the vision tower");
    options.flag("projector", projector, "in the projector");
    options.flag("decoder", decoder, "in the decoder");
    options.flag("streams", streams,
                 "inputs from a residual stream that the family exempts from R1, in every tower");
  }
};

}  // namespace mquant
