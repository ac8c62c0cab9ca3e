// mquant-random-model: random weights in the shapes of a real model.
#include <CLI/CLI.hpp>
#include <iostream>
#include <new>
#include <system_error>

#include "mquant/error.h"
#include "mquant/log.h"
#include "random_model.h"

namespace mquant {
namespace {

void add_options(CLI::App& app, RandomModelOptions& options, std::string& dtype) {
  app.name("mquant-random-model");
  app.add_option("BASE", options.base, "Directory with config.json, tokenizer and processor files")
      ->required()
      ->type_name("DIR");
  app.add_option("--output", options.output, "Directory to write")->required()->type_name("DIR");
  app.add_option("--shape", options.shapes, "JSON merged into config.json; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--set", options.overrides,
                 "A key of config.json, e.g. num_hidden_layers=4; may be repeated")
      ->type_name("KEY=JSON")
      ->allow_extra_args(false);
  app.add_option("--seed", options.seed, "Of all values")->type_name("N")->capture_default_str();
  app.add_option("--dtype", dtype, "bf16 or f32")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->type_name("NAME")
      ->capture_default_str();
  app.footer(
      "Example:\n  mquant-random-model tests/data/goldens/qwen2_vl/model \\\n"
      "    --shape tools/random_model/shapes/qwen2-vl-2b.json --output random-2b\n\n"
      "Exit codes: 0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory");
}

int run(int argc, char** argv) {
  RandomModelOptions options;
  std::string dtype = "bf16";
  CLI::App app{"Writes a checkpoint of random weights, to measure speed and memory on."};
  add_options(app, options, dtype);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    fail(ErrorKind::usage, error.what(), "; see mquant-random-model --help");
  }
  options.dtype = dtype == "f32" ? DType::f32 : DType::bf16;
  const RandomModelReport report = write_random_model(options);
  std::cout << options.output.string() << ": " << report.family << ", " << report.tensors << " tensors, "
            << report.parameters << " parameters, " << report.bytes << " bytes\n";
  return 0;
}

int reported(ErrorKind kind, const std::string& message) {
  log_error(message);
  return static_cast<int>(kind);
}

}  // namespace
}  // namespace mquant

int main(int argc, char** argv) {
  using mquant::ErrorKind;
  try {
    return mquant::run(argc, argv);
  } catch (const mquant::Error& error) {
    return mquant::reported(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return mquant::reported(ErrorKind::resources, "out of memory");
  } catch (const std::system_error& error) {
    return mquant::reported(ErrorKind::resources, error.what());
  } catch (const std::exception& error) {
    return mquant::reported(ErrorKind::internal, error.what());
  }
}
