#include "arguments.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <set>

#include "mquant/error.h"
#include "support/strings.h"
#include "support/utf8.h"

namespace mquant::cli {
namespace {

void add_option_names(const CLI::App& app, std::set<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.insert("--" + name);
  }
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::string with_dashes(const std::string& argument, const std::set<std::string>& names) {
  const auto end = std::min(argument.find('='), argument.size());
  std::string name = argument.substr(0, end);
  std::replace(name.begin(), name.end(), '_', '-');
  return names.contains(name) ? name + argument.substr(end) : argument;
}

/// The part of an unknown option that is its name.
std::string option_name(const std::string& argument) { return argument.substr(0, argument.find('=')); }

std::string unknown_option(const CLI::App& app, const std::string& argument) {
  std::set<std::string> names;
  add_option_names(app, names);
  for (const CLI::App* command : app.get_subcommands()) add_option_names(*command, names);
  const std::string name = option_name(argument);
  return cat("unknown option '", name, "'",
             did_you_mean(name, std::vector<std::string>(names.begin(), names.end())));
}

std::string unexpected(const CLI::App& app, const std::string& argument) {
  if (!app.get_subcommands().empty()) return cat("unexpected argument '", argument, "'");
  const std::vector<std::string> names = command_names(app);
  const std::string hint = did_you_mean(argument, names);
  return cat("unknown command '", argument, "'",
             hint.empty() ? cat(" (known: ", join(names, ", "), ")") : hint);
}

}  // namespace

Arguments normalized(const CLI::App& app, Arguments arguments) {
  std::set<std::string> names;
  add_option_names(app, names);
  for (const CLI::App* command : app.get_subcommands({})) add_option_names(*command, names);

  Arguments result;
  for (std::string& argument : arguments) {
    if (!result.empty() && result.back() == "--json" && !argument.starts_with("-") &&
        argument.ends_with(".json")) {
      result.back() += "=" + argument;
    } else {
      result.push_back(argument.starts_with("--") ? with_dashes(argument, names) : argument);
    }
  }
  return result;
}

std::string explanation(const CLI::App& app, const CLI::ParseError& error) {
  // An option that does not exist explains what seems to be missing, so it goes first.
  const Arguments unread = app.remaining(true);
  const auto option =
      std::ranges::find_if(unread, [](const std::string& text) { return text.starts_with("-"); });
  if (option != unread.end()) return unknown_option(app, *option);
  if (!unread.empty()) return unexpected(app, unread.front());
  std::string text = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {  // "--data: 1 required FILE missing"
    return text.substr(0, text.find(':')) + ": expected a value";
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

CLI::Validator one_of(std::vector<std::string> names) {
  const std::string all = join(names, ", ");
  const auto check = [names, all](const std::string& text) -> std::string {
    if (std::ranges::find(names, text) != names.end()) return "";
    return cat("expected one of ", all, ", found '", text, "'", did_you_mean(text, names));
  };
  return CLI::Validator([check](std::string& text) { return check(text); }, "", "one_of");
}

CLI::Validator integer_from(std::int64_t least, std::int64_t most) {
  const auto check = [least, most](const std::string& text) -> std::string {
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    const bool whole = stop == end && error != std::errc::invalid_argument;
    if (whole && error == std::errc{} && value >= least && value <= most) return "";
    const bool too_large = whole && !text.starts_with('-') && (error != std::errc{} || value > most);
    return cat("expected an integer of at ", too_large ? cat("most ", most) : cat("least ", least),
               ", found '", text, "'");
  };
  return CLI::Validator([check](std::string& text) { return check(text); }, "", "integer_from");
}

CLI::Validator at_least(std::int64_t least) {
  return integer_from(least, std::numeric_limits<std::int64_t>::max());
}

void expect_utf8(const Arguments& arguments) {
  const auto expect = [](const char* what, const std::string& text) {
    if (first_invalid_utf8(text) != std::string::npos)
      fail(ErrorKind::usage, what, " '", text, "' is not UTF-8; rename the file or directory");
  };
  for (const std::string& argument : arguments) expect("argument", argument);
  std::error_code gone;
  expect("the current directory", std::filesystem::current_path(gone).string());
}

void refuse_empty_paths(CLI::App& app) {
  const auto check = [](const std::string& text) { return text.empty() ? "expected a path, found ''" : ""; };
  for (CLI::App* command : app.get_subcommands({})) refuse_empty_paths(*command);
  for (CLI::Option* option : app.get_options())
    if (option->get_type_name() == "DIR" || option->get_type_name() == "FILE")
      option->check(
          CLI::Validator([check](std::string& text) -> std::string { return check(text); }, "", "path"));
}

}  // namespace mquant::cli
