#include "feed/feed.h"

void dl_feed_source_close(dl_feed_source *source)
{
    if (source != NULL) {
        source->ops->close(source);
    }
}
