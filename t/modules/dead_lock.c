/*
 * dead_lock UPSTREAM: a request makes the worker die while it holds the lock of the list of peers,
 * like a worker that is killed while its balancer picks a peer.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

ngx_module_t  ngx_http_dead_lock_module;


static ngx_int_t
handler(ngx_http_request_t *r)
{
    ngx_uint_t                      i;
    ngx_str_t                      *name;
    ngx_http_upstream_rr_peers_t   *peers;
    ngx_http_upstream_srv_conf_t  **blocks;
    ngx_http_upstream_main_conf_t  *umcf;

    name = ngx_http_get_module_loc_conf(r, ngx_http_dead_lock_module);
    umcf = ngx_http_get_module_main_conf(r, ngx_http_upstream_module);
    blocks = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        if (blocks[i]->host.len == name->len
            && ngx_strncmp(blocks[i]->host.data, name->data, name->len) == 0)
        {
            peers = blocks[i]->peer.data;
            ngx_http_upstream_rr_peers_wlock(peers);
            raise(SIGKILL);
        }
    }

    return NGX_HTTP_NOT_FOUND;
}


static void *
create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_str_t));
}


static char *
set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                 *args = cf->args->elts;
    ngx_http_core_loc_conf_t  *clcf;

    *(ngx_str_t *) conf = args[1];

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;

    return NGX_CONF_OK;
}


static ngx_command_t  commands[] = {
    { ngx_string("dead_lock"), NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1, set,
      NGX_HTTP_LOC_CONF_OFFSET, 0, NULL },
    ngx_null_command
};


static ngx_http_module_t  context = {
    NULL, NULL, NULL, NULL, NULL, NULL, create_conf, NULL
};


ngx_module_t  ngx_http_dead_lock_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
