// The date that a template prints.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mquant::jinja {

using Date = std::chrono::year_month_day;

/// Of YYYY-MM-DD, from the year 1000; none for another form, and for a day that no calendar has.
std::optional<Date> parse_date(std::string_view text);

/// strftime_now of transformers: what strftime of C prints of `today`, without hours and the like.
/// @throws Error{unsupported} where no date is stated, and for other conversions
std::string date_text(const std::string& format, const std::optional<Date>& today);

}  // namespace mquant::jinja
