/*
 * late_subrequest URI [TIME]: once the 101 of a request has passed all filters, or TIME later, a
 * background subrequest begins, as a module that reports upgrades might start one.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

typedef struct {
    ngx_str_t   uri;
    ngx_msec_t  delay;
} late_conf_t;

ngx_module_t  ngx_http_late_subrequest_module;

static ngx_http_output_header_filter_pt  next_header_filter;


static ngx_int_t
begin(ngx_http_request_t *r)
{
    ngx_str_t            args = ngx_null_string;
    ngx_http_request_t  *sr;
    late_conf_t         *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_late_subrequest_module);

    if (ngx_http_subrequest(r, &conf->uri, &args, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* its response is discarded */
    sr->header_only = 1;

    return NGX_OK;
}


static void
on_timer(ngx_event_t *ev)
{
    ngx_http_request_t  *r = ev->data;
    ngx_connection_t    *c = r->connection;

    (void) begin(r);
    ngx_http_run_posted_requests(c);
}


static void
forget(void *data)
{
    ngx_event_t  *ev = data;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


static ngx_int_t
header_filter(ngx_http_request_t *r)
{
    ngx_int_t            rc;
    ngx_event_t         *ev;
    late_conf_t         *conf;
    ngx_pool_cleanup_t  *cln;

    rc = next_header_filter(r);

    conf = ngx_http_get_module_loc_conf(r, ngx_http_late_subrequest_module);

    if (rc == NGX_ERROR || conf->uri.len == 0 || r != r->main
        || r->headers_out.status != NGX_HTTP_SWITCHING_PROTOCOLS)
    {
        return rc;
    }

    if (conf->delay == 0) {
        return begin(r) == NGX_OK ? rc : NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_event_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ev = cln->data;
    ngx_memzero(ev, sizeof(ngx_event_t));
    ev->handler = on_timer;
    ev->data = r;
    ev->log = r->connection->log;
    cln->handler = forget;

    ngx_add_timer(ev, conf->delay);

    return rc;
}


static ngx_int_t
init(ngx_conf_t *cf)
{
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = header_filter;

    return NGX_OK;
}


static void *
create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(late_conf_t));
}


static char *
set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t    *args = cf->args->elts;
    late_conf_t  *own = conf;

    own->uri = args[1];
    own->delay = cf->args->nelts > 2 ? (ngx_msec_t) ngx_parse_time(&args[2], 0) : 0;

    return NGX_CONF_OK;
}


static ngx_command_t  commands[] = {
    { ngx_string("late_subrequest"), NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12, set,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    ngx_null_command
};


static ngx_http_module_t  context = {
    NULL, init, NULL, NULL, NULL, NULL, create_conf, NULL
};


ngx_module_t  ngx_http_late_subrequest_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
