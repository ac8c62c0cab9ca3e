// How help looks: one line an option, defaults and variables where they help, no types in capitals twice.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace mquant::cli {

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_option_name(const CLI::Option* option, bool positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace mquant::cli
