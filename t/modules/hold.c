/* A module that holds each request for two seconds by nothing but its reference count, as no part
 * of nginx does. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static void
ngx_http_hold_release(ngx_event_t *ev)
{
    ngx_connection_t    *c = ev->data;
    ngx_http_request_t  *r = c->data;

    r->count--;
}


static ngx_int_t
ngx_http_hold_handler(ngx_http_request_t *r)
{
    ngx_event_t  *ev;

    if (r->headers_in.upgrade == NULL) {
        return NGX_DECLINED;
    }

    ev = ngx_pcalloc(r->pool, sizeof(ngx_event_t));
    if (ev == NULL) {
        return NGX_ERROR;
    }

    ev->handler = ngx_http_hold_release;
    ev->data = r->connection;
    ev->log = r->connection->log;

    r->count++;
    ngx_add_timer(ev, 2000);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_hold_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_hold_handler;

    return NGX_OK;
}


static ngx_http_module_t  ngx_http_hold_module_ctx = {
    .postconfiguration = ngx_http_hold_init
};


ngx_module_t  ngx_http_hold_module = {
    NGX_MODULE_V1,
    &ngx_http_hold_module_ctx,
    NULL,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};
