#include "notebook/notebook.h"

#include "notebook_templates.h"

#define TEMPLATE(name)                                                                             \
    {                                                                                              \
        embedded_##name, embedded_##name##_size                                                    \
    }

static const dl_notebook_template templates[] = {
    {"first-look", "An archive at a glance: counts, modalities, studies a month, sizes",
     TEMPLATE(first_look)},
    {"metadata-quality", "Missing and odd attributes, with plots", TEMPLATE(metadata_quality)},
    {"cohort", "From a question to the files that answer it", TEMPLATE(cohort)},
    {"spark-delta", "The same tables from PySpark (run in Jupyter)", TEMPLATE(spark_delta)},
    {"python-deltalake",
     "The same tables and files from Python with deltalake and pydicom (run in "
     "Jupyter)",
     TEMPLATE(python_deltalake)},
};

const dl_notebook_template *dl_notebook_templates(size_t *out_count)
{
    *out_count = DL_COUNT_OF(templates);
    return templates;
}

const dl_notebook_template *dl_notebook_template_find(dl_str name)
{
    for (size_t i = 0; i < DL_COUNT_OF(templates); i++) {
        if (dl_str_eq_nocase(name, dl_str_of(templates[i].name))) {
            return &templates[i];
        }
    }
    return NULL;
}
