// mquant list: what there is, from the tables that the program runs by.
#include <iostream>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "catalogue.h"
#include "command.h"

namespace mquant::cli {
namespace {

struct Options {
  std::string topic, json;
  bool markdown = false;
};

void run_list(const Options& options) {
  const Catalogue catalogue = catalogue_of(options.topic);
  if (options.markdown) {
    std::cout << catalogue.markdown;
  } else {
    print(catalogue.screen, Json::parse(catalogue.json), options.json);
  }
}

}  // namespace

void add_list(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd = add_command(app, "list", "The families, passes, formats or recipes that there are",
                              {"list families", "list passes", "list recipes --json"}, "0 done, 2 usage");
  cmd->add_option("TOPIC", options->topic,
                  "families, passes, formats, recipes, schema (of recipe files) or zoo-schema")
      ->required()
      ->type_name("")
      ->check(one_of({"families", "passes", "formats", "recipes", "schema", "zoo-schema"}));
  cmd->add_flag("--markdown", options->markdown, "As a page of Markdown, like those in docs/");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {}, .json = options->json};
    command.job = [options] { run_list(*options); };
  });
}

}  // namespace mquant::cli
