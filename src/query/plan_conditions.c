/* Conditions that every row of an answer fulfils, from WHERE and ON. */
#include "query/plan_internal.h"

dl_status dl_plan_conditions_read(const dl_plan_tree *tree, dl_plan_table *tables,
                                  const uint32_t *refs, size_t table_count)
{
    (void)tree;
    (void)tables;
    (void)refs;
    (void)table_count;
    return DL_OK;
}
