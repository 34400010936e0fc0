/* Where shortcuts lead: folders of connections, of the home, links, what is broken and why. */
#include "fixture.h"

#include <string.h>

static dl_shortcut_state resolve(dl_shortcut s)
{
    static dl_shortcut kept;
    dl_shortcut_state state = {0};
    kept = s;
    TAP_OK(dl_shortcut_resolve(factory, &kept, arena, &state, &err), err);
    TAP_TRUE(state.shortcut == &kept);
    TAP_EQ_INT(state.broken, state.why.status != DL_OK);
    return state;
}

static void leads_to(dl_shortcut s, const char *folder)
{
    dl_shortcut_state state = resolve(s);
    if (state.broken) {
        TAP_FAIL("broken: %s", state.why.message);
    }
    TAP_EQ_STR(state.folder, folder);
}

static void is_broken(dl_shortcut s, dl_status status, const char *message, const char *hint)
{
    dl_shortcut_state state = resolve(s);
    TAP_EQ_INT(state.why.status, status);
    if (strstr(state.why.message, message) == NULL) {
        TAP_FAIL("'%s' is not in: %s", message, state.why.message);
    }
    if (strstr(state.why.hint, hint) == NULL) {
        TAP_FAIL("'%s' is not in the hint: %s", hint, state.why.hint);
    }
}

TAP_CASE(a_table_of_a_folder)
{
    begin();
    make_folder("lake/dicom/instance/_delta_log");
    connect_lake("lake", at("lake"));
    leads_to(table_at("instance", "lake", "/dicom/instance"), at("lake/dicom/instance"));
    leads_to(table_at("instance", "LAKE", "/dicom/instance"), at("lake/dicom/instance"));
    connect_lake("table", at("lake/dicom/instance"));
    leads_to(table_at("instance", "table", "/"), at("lake/dicom/instance"));
}

TAP_CASE(the_home)
{
    begin();
    make_folder("tables/dicom/instance/_delta_log");
    make_folder("files/AHDS/default");
    connect_lake("own", "home:");
    static const char *const names[] = {"home:", "own"};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        leads_to(table_at("t", names[i], "/dicom/instance"), at("tables/dicom/instance"));
        leads_to(files_at("f", names[i], "/dicom/AHDS"), at("files/AHDS"));
        leads_to(files_at("f", names[i], "/any/AHDS/default"), at("files/AHDS/default"));
        leads_to(files_at("f", names[i], "/"), at("tables"));
        is_broken(files_at("f", names[i], "/dicom/AHDS/defualt"), DL_E_NOT_FOUND,
                  "files/AHDS/defualt", "did you mean default?");
        is_broken(files_at("f", names[i], "/dicom/AHDSx"), DL_E_NOT_FOUND, "tables/dicom/AHDSx",
                  "there is instance");
    }
}

int main(void)
{
    TAP_RUN(a_table_of_a_folder);
    TAP_RUN(the_home);
    return done();
}
