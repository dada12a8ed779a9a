# What find_package(lvs) brings: the targets lvs::lvs, the shared library, and lvs::static.

get_filename_component(_lvs_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_lvs_where PATHS "${_lvs_prefix}/lib" "${_lvs_prefix}/lib64" PATH_SUFFIXES "${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)
find_library(lvs_SHARED_LIBRARY NAMES "${CMAKE_SHARED_LIBRARY_PREFIX}lvs${CMAKE_SHARED_LIBRARY_SUFFIX}" ${_lvs_where})
find_library(lvs_STATIC_LIBRARY NAMES "${CMAKE_STATIC_LIBRARY_PREFIX}lvs${CMAKE_STATIC_LIBRARY_SUFFIX}" ${_lvs_where})
mark_as_advanced(lvs_SHARED_LIBRARY lvs_STATIC_LIBRARY)

if(lvs_SHARED_LIBRARY AND NOT TARGET lvs::lvs)
  add_library(lvs::lvs SHARED IMPORTED)
  set_target_properties(lvs::lvs PROPERTIES
    IMPORTED_LOCATION "${lvs_SHARED_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${_lvs_prefix}/include")
endif()

if(lvs_STATIC_LIBRARY AND NOT TARGET lvs::static)
  add_library(lvs::static STATIC IMPORTED)
  # What the Rust standard library in a static library asks for.
  set_target_properties(lvs::static PROPERTIES
    IMPORTED_LOCATION "${lvs_STATIC_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${_lvs_prefix}/include"
    INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl")
endif()

if(NOT TARGET lvs::lvs AND NOT TARGET lvs::static)
  set(lvs_FOUND FALSE)
  set(lvs_NOT_FOUND_MESSAGE "no library below ${_lvs_prefix}/lib")
endif()
unset(_lvs_where)
unset(_lvs_prefix)
