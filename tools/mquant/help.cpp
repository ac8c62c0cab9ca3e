#include "help.h"

namespace mquant::cli {

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  std::string usage = "\nUsage: " + name;
  if (!app->get_subcommands({}).empty()) return usage + " [OPTIONS] COMMAND ...\n";
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) usage += " " + option->get_name(true);
  }
  for (const CLI::Option* option : app->get_options()) {
    if (!option->get_positional() && option->get_required()) {
      usage += " " + option->get_name() + " " + option->get_type_name();
    }
  }
  return usage + " [OPTIONS]\n";
}

std::string HelpFormatter::make_option_name(const CLI::Option* option, bool positional) const {
  if (positional) return option->get_name(true);
  return (option->get_snames().empty() ? "" : "-" + option->get_snames().front() + ", ") + "--" +
         option->get_lnames().front();
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  const std::string type = option->get_type_name();
  if (type.empty() || option->get_positional()) return "";
  return option->get_expected_min() == 0 ? "[=" + type + "]" : " " + type;  // an optional value follows "="
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::string text = option->get_description();
  if (!option->get_default_str().empty()) text += " [" + option->get_default_str() + "]";
  return text;
}

}  // namespace mquant::cli
