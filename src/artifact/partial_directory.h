// A directory that is there in full or not at all.
#pragma once

#include <filesystem>

namespace mquant {

/// A directory that is not there yet must be one that can be made, another one that can be written into.
/// @throws Error{usage} if a file stands in its way; Error{resources} without permission
void expect_writable(const std::filesystem::path& directory);

/// What a PartialDirectory of `target` needs, told before the work that fills it: a directory around it that can be
/// written into, even where `target` is there, and a name that leaves room for ".NAME.partial".
/// @throws Error{usage} if `target` is a mount point, which no rename replaces, and as the constructor does
void expect_publishable(const std::filesystem::path& target);

/// A new, empty ".NAME.partial" beside `target`.  publish() gives it the name; without it the destructor removes it.
/// What a killed run left under that name is removed first; it is known by a marker that lies in it until it is whole.
class PartialDirectory {
 public:
  /// @throws Error{usage} if another process is writing the same target, or something of others has that name;
  ///         Error{resources} if the disk refuses
  explicit PartialDirectory(std::filesystem::path target);
  ~PartialDirectory();
  PartialDirectory(const PartialDirectory&) = delete;
  PartialDirectory& operator=(const PartialDirectory&) = delete;

  const std::filesystem::path& path() const { return partial_; }
  /// Replaces `target` in one step if it is there.  Files must be synced already; the directories are synced here.
  void publish();

 private:
  std::filesystem::path target_, partial_;
  int lock_ = -1;
  bool published_ = false;
};

}  // namespace mquant
