// Lookups in JSON of our own files, which may be damaged or hostile: each one checks the type and names the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_text.h"

namespace mquant {

/// An object and what messages call it.  Refers to the JSON value; keep that alive.
class Fields {
 public:
  /// @throws Error{input} if `value` is no object.  The same kind from all members.
  Fields(const Json& value, std::string where);

  bool has(const std::string& key) const;  ///< present and not null
  const Json& at(const std::string& key) const;
  Fields object(const std::string& key) const;
  std::string text(const std::string& key) const;
  std::int64_t integer(const std::string& key, std::int64_t least, std::int64_t most) const;
  std::uint64_t natural(const std::string& key) const;
  double number(const std::string& key) const;  ///< also "inf", "-inf", "nan": see number_json
  bool boolean(const std::string& key) const;
  std::vector<std::int64_t> integers(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;

  const Json& json() const { return *value_; }
  const std::string& where() const { return where_; }

 private:
  [[noreturn]] void expected(const std::string& key, std::string_view what) const;
  const Json* value_;
  std::string where_;
};

/// JSON has no infinity and no NaN: those become the texts "inf", "-inf", "nan".  Finite numbers come back exactly.
OrderedJson number_json(double value);

/// Is `name` a file name that stays in its directory: letters, digits, "._-", not hidden, at most 200 long?
bool is_plain_name(std::string_view name);

}  // namespace mquant
