#include "artifact/kv_scales.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace mquant {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 31;

std::vector<float> scales_in(const Fields& fields, const std::string& key) {
  const Json& list = fields.at(key);
  if (!list.is_array())
    fail(ErrorKind::input, fields.where(), ": '", key, "': expected a list, found ", describe(list));
  std::vector<float> scales;
  for (const Json& number : list) {
    const double value = number.is_number() ? number.get<double>() : 0.0;
    const auto scale = static_cast<float>(value);
    if (!number.is_number() || static_cast<double>(scale) != value || !std::isfinite(scale) || scale <= 0)
      fail(ErrorKind::input, fields.where(), ": '", key, "': expected positive float32 numbers, found ",
           describe(number), " at ", scales.size());
    scales.push_back(scale);
  }
  return scales;
}

void check_list(const std::vector<float>& scales, const KvScales& all, const char* what,
                const std::string& where, ErrorKind kind) {
  const std::int64_t channels = all.kv_heads * all.head_dim;
  if (std::ssize(scales) != all.kv_heads && std::ssize(scales) != channels)
    fail(kind, where, ": '", what, "': expected ", all.kv_heads, " scales, one a head, or ", channels,
         ", one a channel, found ", scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i)
    if (!std::isfinite(scales[i]) || scales[i] <= 0)
      fail(kind, where, ": '", what, "': expected positive finite scales, found ", scales[i], " at ", i);
}

}  // namespace

OrderedJson kv_scales_json(const KvScales& scales) {
  OrderedJson json = {{"kv_heads", scales.kv_heads}, {"head_dim", scales.head_dim}};
  for (const auto& [key, list] : {std::pair{"keys", &scales.keys}, std::pair{"values", &scales.values}}) {
    json[key] = OrderedJson::array();
    for (const float scale : *list) json[key].push_back(double{scale});
  }
  return json;
}

KvScales kv_scales_from(const Fields& fields) {
  KvScales scales{fields.integer("kv_heads", 1, kLargest), fields.integer("head_dim", 1, kLargest),
                  scales_in(fields, "keys"), scales_in(fields, "values")};
  check_kv_scales(scales, fields.where(), ErrorKind::input);
  return scales;
}

void check_kv_scales(const KvScales& scales, const std::string& where, ErrorKind kind) {
  check_list(scales.keys, scales, "keys", where, kind);
  check_list(scales.values, scales, "values", where, kind);
}

void expect_sizes(const KvScales& scales, const AttentionSpec& attention, const std::string& where) {
  if (scales.kv_heads != attention.kv_heads || scales.head_dim != attention.head_dim)
    fail(ErrorKind::input, where, ": expected ", attention.kv_heads, " key-value heads of ",
         attention.head_dim, ", as config.json says, found ", scales.kv_heads, " of ", scales.head_dim);
}

}  // namespace mquant
