/*
 * own_peers: a balancer whose peers are in a structure of its own, which is smaller than the list of
 * peers of core's balancers and has no memory behind it. It picks the first server of the block.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/mman.h>

ngx_module_t  ngx_http_own_peers_module;


static ngx_int_t
get(ngx_peer_connection_t *pc, void *data)
{
    ngx_addr_t  **peer = data;

    pc->sockaddr = (*peer)->sockaddr;
    pc->socklen = (*peer)->socklen;
    pc->name = &(*peer)->name;

    return NGX_OK;
}


static void
leave(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    pc->tries = 0;
}


static ngx_int_t
init_request(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    r->upstream->peer.data = us->peer.data;
    r->upstream->peer.get = get;
    r->upstream->peer.free = leave;
    r->upstream->peer.tries = 1;

    return NGX_OK;
}


static ngx_int_t
init(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    u_char                      *page;
    ngx_addr_t                 **peer;
    ngx_http_upstream_server_t  *server = us->servers->elts;

    page = mmap(NULL, 2 * ngx_pagesize, PROT_READ|PROT_WRITE,
                MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED
        || mprotect(page + ngx_pagesize, ngx_pagesize, PROT_NONE) == -1)
    {
        return NGX_ERROR;
    }

    peer = (ngx_addr_t **) (page + ngx_pagesize) - 1;
    *peer = server[0].addrs;

    us->peer.data = peer;
    us->peer.init = init_request;

    return NGX_OK;
}


static char *
set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upstream_srv_conf_t  *us;

    us = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);
    us->peer.init_upstream = init;
    us->flags = NGX_HTTP_UPSTREAM_CREATE;

    return NGX_CONF_OK;
}


static ngx_command_t  commands[] = {
    { ngx_string("own_peers"), NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS, set, 0, 0, NULL },
    ngx_null_command
};


static ngx_http_module_t  context = {
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
};


ngx_module_t  ngx_http_own_peers_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};
