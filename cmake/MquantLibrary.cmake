# mquant_library(<name> SOURCES <file>... [USES <name>...] [PRIVATE <target>...] [PUBLIC_LINK <target>...]
#                [TORCH | TORCH_OPS])
#   The static library mquant_<name> of src/<name>/.  USES names the mquant libraries that it may use, as
#   scripts/check_layers.py knows them; their headers and third-party targets do not travel on.
#   TORCH      tensors by methods only: ATen/ATen.h is then a compile error, which keeps compilation fast
#   TORCH_OPS  also single <ATen/ops/x.h> functions
#
# mquant_test(<name> SOURCES <file>... [USES <name>...] [PRIVATE <target>...] [LABELS <label>...] [TORCH | TORCH_OPS])
#   The gtest program test_<name>, each test known to ctest.  MQUANT_TEST_DATA is the folder tests/data.
#
# mquant_add_folders(<pattern>...)
#   Adds each matching folder, below the current one, that has a CMakeLists.txt.
include(GoogleTest)

function(mquant_add_folders)
  list(TRANSFORM ARGN APPEND /CMakeLists.txt OUTPUT_VARIABLE patterns)
  file(GLOB lists CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${patterns})
  foreach(list IN LISTS lists)
    cmake_path(GET list PARENT_PATH folder)
    cmake_path(GET folder FILENAME name)
    if(NOT MQUANT_ONLY OR name IN_LIST MQUANT_ONLY OR folder MATCHES "^tests/(support|unit)$")
      add_subdirectory(${folder})
    endif()
  endforeach()
endfunction()

function(mquant_compile_settings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                         -Wno-missing-field-initializers  # designated initializers leave defaults out on purpose
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # GCC 12 sees overlaps in "text" + std::string (bug 105329)
  if(MQUANT_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
endfunction()

function(mquant_use_torch target methods_only)
  target_link_libraries(${target} PRIVATE mquant_torch)
  if(methods_only)
    target_compile_definitions(${target} PRIVATE TORCH_ASSERT_ONLY_METHOD_OPERATORS)
  endif()
endfunction()

function(mquant_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH;TORCH_OPS" "" "SOURCES;USES;PRIVATE;PUBLIC_LINK")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "mquant_library(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(target mquant_${name})
  add_library(${target} STATIC ${arg_SOURCES})
  mquant_compile_settings(${target})
  list(TRANSFORM arg_USES PREPEND mquant_)
  target_link_libraries(${target} PRIVATE ${arg_USES} ${arg_PRIVATE} PUBLIC ${arg_PUBLIC_LINK})
  if(arg_TORCH OR arg_TORCH_OPS)
    mquant_use_torch(${target} ${arg_TORCH})
  endif()
endfunction()

function(mquant_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH;TORCH_OPS" "" "SOURCES;USES;PRIVATE;LABELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "mquant_test(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(target test_${name})
  add_executable(${target} ${arg_SOURCES})
  mquant_compile_settings(${target})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})  # for "tests/support/..."
  target_compile_definitions(${target} PRIVATE MQUANT_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data")
  list(TRANSFORM arg_USES PREPEND mquant_)
  target_link_libraries(${target} PRIVATE mquant_test_support ${arg_USES} ${arg_PRIVATE} GTest::gmock GTest::gtest_main)
  if(arg_TORCH OR arg_TORCH_OPS)
    mquant_use_torch(${target} ${arg_TORCH})
  endif()
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_LIST ${target}_TESTS)
  # Lists do not survive the PROPERTIES of gtest_discover_tests; ctest reads this file after it has found the tests.
  # One thread a test: ctest runs several.  libtorch's own once-only allocations are not our leaks.  A test is skipped
  # only with a reason: where SetUpTestSuite fails, googletest skips the tests of the suite without one.
  set(properties ${CMAKE_CURRENT_BINARY_DIR}/${target}_properties.cmake)
  string(CONCAT environment "OMP_NUM_THREADS=1;UBSAN_OPTIONS=print_stacktrace=1;"
                            "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp")
  file(WRITE ${properties} "if(${target}_TESTS)  # else the program is not built\n"
                           "  set_tests_properties(\${${target}_TESTS} PROPERTIES\n"
                           "    LABELS \"${arg_LABELS}\"\n    ENVIRONMENT \"${environment}\"\n"
                           "    SKIP_REGULAR_EXPRESSION \"Skipped\\n[^\\n]\")\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${properties})
endfunction()
