# Compiler settings that every target shares.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CULVERT_CCACHE ccache)
if(CULVERT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CULVERT_CCACHE})
endif()

set(CULVERT_SANITIZE "" CACHE STRING "sanitizers for all targets, e.g. address,undefined")

add_library(culvert_flags INTERFACE)
target_compile_options(culvert_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror)
target_compile_options(culvert_flags INTERFACE -fstack-protector-strong)
# g++ 12 reports false positives of these deep inside libstdc++ and Boost when it inlines.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(culvert_flags INTERFACE
    -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds -Wno-restrict -Wno-stringop-overread)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")  # in macros of libseccomp
  target_compile_options(culvert_flags INTERFACE -Wno-c99-extensions -Wno-missing-field-initializers
    -Wno-deprecated-declarations)  # …and std::stable_sort of libstdc++ 12
endif()
if(CMAKE_UNITY_BUILD)  # what hides a name of another file hides nothing; builds of single sources look at all
  target_compile_options(culvert_flags INTERFACE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>)
endif()
if(CULVERT_SANITIZE)
  target_compile_options(culvert_flags INTERFACE -fsanitize=${CULVERT_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(culvert_flags INTERFACE -fsanitize=${CULVERT_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CULVERT_SANITIZE MATCHES "address")
    target_compile_definitions(culvert_flags INTERFACE __SANITIZE_ADDRESS__)  # as g++ says it
  endif()
else()
  target_compile_definitions(culvert_flags INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
  target_link_options(culvert_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
